// The real coordinator, as a process of its own, with a thousand parameter servers that speak its
// protocol.
#include <gmock/gmock.h>

#include <fstream>
#include <random>

#include "distributed/coordination/directory_client.h"
#include "tests/distributed/coordination/members.h"
#include "tests/distributed/coordination/scale.h"
#include "tests/distributed/coordination/server_swarm.h"
#include "tests/support/free_ports.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using ::testing::IsEmpty;

constexpr int kServers = 1024, kWatchers = 100;

class CoordinatorProcess {
 public:
  CoordinatorProcess()
      : address_(str_cat("127.0.0.1:", free_ports())),
        process_(
            {TRIREME_MEMBER, "host", address_.substr(address_.find(':') + 1), kSecret, "1", "0"}) {
    EXPECT_TRUE(process_.wait_for_error_output("listening on", 10s));
  }
  const std::string& address() const { return address_; }
  pid_t pid() const { return process_.pid(); }
  // Reads what it has logged; false when it has ended.
  bool runs() { return process_.runs_for(0ms); }
  // "VmHWM", in MB, or "Threads".
  int64_t status(const std::string& field) const {
    std::ifstream file(str_cat("/proc/", process_.pid(), "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.rfind(field + ":", 0) != 0) continue;
      const int64_t value = std::stoll(line.substr(field.size() + 1));
      return line.find("kB") == std::string::npos ? value : value / 1024;
    }
    return -1;
  }

 private:
  const std::string address_;
  Process process_;
};

class DirectoryScaleTest : public ::testing::TestWithParam<int> {};

// A job of a thousand servers must come together, and get over the loss of any of them, as one of
// ten does.
TEST_P(DirectoryScaleTest, ThousandServersGetTheNextViewWithinMomentsOfEachLoss) {
  const int replicas = GetParam();
  const int losses = testing::losses();
  CoordinatorProcess coordinator;
  const Stopwatch start(coordinator.pid());
  ServerSwarm swarm(coordinator.address(), kSecret, kServers, replicas, kWatchers);
  swarm.wait_for([](const ServerView& view) { return view.number > 0; }, 60s);
  const auto first = start.passed();
  swarm.wait_for([&](const ServerView& view) { return is_whole(view, replicas); }, 60s);
  const auto traffic = swarm.traffic();
  std::mt19937 random(7);
  std::chrono::milliseconds worst{0}, sum{0};
  for (int i = 0; i < losses; ++i) {
    const int victim = static_cast<int>(random() % kServers);
    const auto index = static_cast<size_t>(victim);
    const Stopwatch lost(coordinator.pid());
    swarm.lose(victim);
    const ServerView without =
        swarm.wait_for([&](const ServerView& view) { return !view.servers[index].alive; }, 20s);
    swarm.bring_back(victim);
    swarm.wait_for(
        [&](const ServerView& view) {
          return view.number > without.number && view.servers[index].alive &&
                 is_whole(view, replicas);
        },
        20s);
    const auto took = lost.passed();
    worst = std::max(worst, took);
    sum += took;
    ASSERT_TRUE(coordinator.runs());
  }
  const auto after = swarm.traffic();
  const int64_t memory = coordinator.status("VmHWM"), threads = coordinator.status("Threads");
  std::printf(
      "%d servers with %d replicas: first view %.2f s; loss to whole view: mean %.3f s, worst %.3f "
      "s; coordinator: %ld MB, %ld threads; a loss: %.1f messages and %.0f bytes a task\n",
      kServers, replicas, std::chrono::duration<double>(first).count(),
      std::chrono::duration<double>(sum).count() / losses,
      std::chrono::duration<double>(worst).count(), static_cast<long>(memory),
      static_cast<long>(threads),
      static_cast<double>(after.messages - traffic.messages) / losses / (kServers + kWatchers),
      static_cast<double>(after.bytes - traffic.bytes) / losses / (kServers + kWatchers));
  EXPECT_LT(first, 10s);
  EXPECT_LT(worst, 2s);
  EXPECT_LT(memory, 1000);
  EXPECT_LT(threads, 64);
  EXPECT_THAT(swarm.faults(), IsEmpty());
  // Whoever followed all changes has the same view as one who comes now.
  DirectoryClientOptions options;
  options.address = coordinator.address();
  options.secret = kSecret;
  options.job_id = "job";
  const ServerView whole = DirectoryClient(options).wait_for_view(1, 10s);
  EXPECT_THAT(swarm.with_another_view(whole), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Replicas, DirectoryScaleTest, ::testing::Values(1, 2));

// A wrong view without a word would send rows to servers that do not hold them.
TEST(DirectoryChangeTest, TaskThatMissedAChangeAsksForTheWholeView) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  ServerSwarm swarm(coordinator.address(), kSecret, 4, 2, 3);
  swarm.wait_for([](const ServerView& view) { return is_whole(view, 2); }, 10s);
  swarm.spoil(2);
  swarm.lose(3);
  const ServerView view =
      swarm.wait_for([](const ServerView& view) { return !view.servers[3].alive; }, 10s);
  EXPECT_THAT(swarm.with_another_view(view), ::testing::ElementsAre("server 3"));
  EXPECT_THAT(swarm.faults(), ::testing::ElementsAre("watcher 2: a change did not fit"));
}

}  // namespace
}  // namespace trireme::testing
