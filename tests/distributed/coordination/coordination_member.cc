// A member that is a process, to be killed or stopped: joins, attends, and joins again after each
// fault, until it is refused or ended. Says on standard error what happens to it.
//
//   coordination_member ADDRESS SECRET RANK WORLD_SIZE INCARNATION [inside]
//
// "inside": it waits in its first collective. Or it is the coordinator, until it is killed:
//
//   coordination_member host PORT SECRET WORLD_SIZE MIN_WORKERS [COLLECTIVE_TIMEOUT_MS]
//
// Or a parameter server without any tables, whose backups are in sync at once:
//
//   coordination_member server ADDRESS SECRET INDEX SERVERS REPLICAS INCARNATION
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/collective/communicator.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/coordination/directory_client.h"

namespace trireme {
namespace {

int host(int argc, char** argv) {
  CoordinatorOptions options;
  options.port = std::stoi(argv[2]);
  options.secret = argv[3];
  options.job_id = "job";
  options.world_size = std::stoi(argv[4]);
  options.min_workers = std::stoi(argv[5]);
  options.collective_timeout = std::chrono::milliseconds(argc > 6 ? std::stoi(argv[6]) : 1000);
  options.log = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  Coordinator coordinator(options);
  std::fprintf(stderr, "listening on %s\n", coordinator.address().c_str());
  for (;;) pause();
}

int serve(char** argv) {
  DirectoryClientOptions options;
  options.address = argv[2];
  options.secret = argv[3];
  options.job_id = "job";
  options.is_server = true;
  options.index = std::stoi(argv[4]);
  options.servers = std::stoi(argv[5]);
  options.replicas = std::stoi(argv[6]);
  options.incarnation = std::stoull(argv[7]);
  options.host = "process";
  options.server_address = "nowhere";
  Mutex mutex;
  ConditionVariable changed;
  std::vector<ServerView> views;
  std::optional<Error> lost;
  options.on_view = [&](const ServerView& view) {
    MutexLock lock(mutex);
    views.push_back(view);
    changed.notify_all();
  };
  options.on_lost = [&](const Error& error) {
    MutexLock lock(mutex);
    lost = error;
    changed.notify_all();
  };
  DirectoryClient client(options);
  for (;;) {
    MutexLock lock(mutex);
    while (views.empty() && !lost) changed.wait(mutex);
    if (lost) throw Error(*lost);
    for (size_t i = 0; i < views.back().slots.size(); ++i) {
      const SlotEntry& slot = views.back().slots[i];
      if (slot.primary != options.index || slot.backup < 0 || slot.backup_in_sync) continue;
      client.backup_is_in_sync(static_cast<int>(i), slot.epoch,
                               views.back().servers[static_cast<size_t>(slot.backup)].incarnation);
    }
    views.clear();
  }
}

int run(int argc, char** argv) {
  if (argc < 6) return 2;
  if (std::string(argv[1]) == "host") return host(argc, argv);
  if (std::string(argv[1]) == "server") return serve(argv);
  ClientOptions options;
  options.address = argv[1];
  options.secret = argv[2];
  options.job_id = "job";
  options.connect_timeout = std::chrono::seconds(10);
  options.heartbeat_interval = std::chrono::milliseconds(50);
  JoinRequest request;
  request.rank = std::stoi(argv[3]);
  request.world_size = std::stoi(argv[4]);
  request.incarnation = std::stoull(argv[5]);
  request.handshake = {{"graph", "1a2b"}};
  request.host = "process";
  request.pid = getpid();
  CoordinatorClient client(options);
  for (;;) {
    const auto membership = client.join(request);
    std::fprintf(stderr, "joined generation %d as %d of %d\n",
                 static_cast<int>(membership.group.generation), membership.group.rank,
                 membership.group.size());
    Mutex mutex;
    ConditionVariable changed;
    bool ended = false;
    auto watch = std::make_shared<CollectiveWatch>();
    if (argc > 6) watch->enter("bucket 0 (w … b)", 1);
    client.attend(watch, [&](const Error& error) {
      std::fprintf(stderr, "fault: %s\n", error.what());
      MutexLock lock(mutex);
      ended = true;
      changed.notify_all();
    });
    MutexLock lock(mutex);
    while (!ended) changed.wait(mutex);
  }
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  try {
    return trireme::run(argc, argv);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.exit_code();
  }
}
