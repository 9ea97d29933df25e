// A task of the chaos test, to be killed at any moment.
//
//   chaos_program server COORDINATOR INDEX INCARNATION LOG
//   chaos_program worker COORDINATOR RANK INCARNATION LOG JOURNAL CONSISTENCY LAST
//
// A worker pushes over a bad network, one step behind the other from where its slots say that it
// was, and notes each acknowledged step in its journal. SIGTERM ends it behind a step; with
// consistency "sync", where none can end alone, it goes on to the step that is in the file LAST.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "ps/client/ps_client.h"
#include "ps/server/ps_server.h"
#include "tests/ps/client/chaos_content.h"
#include "tests/support/faulty_rpc.h"

namespace trireme::ps::testing {
namespace {

using namespace std::chrono_literals;

std::atomic<bool> g_stop{false};

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

void serve(char** argv) {
  PsServerOptions options;
  options.coordinator = argv[2];
  options.secret = "s3cret";
  options.job_id = "job";
  options.index = std::stoi(argv[3]);
  options.incarnation = std::stoull(argv[4]);
  options.servers = kChaosServers;
  options.replicas = 2;
  options.host = "here";
  options.threads = 2;
  PsServer server(options);
  server.run(g_stop);
}

// No step is the last as long as there is no such file.
int64_t last_step(const std::string& path) {
  std::ifstream in(path);
  int64_t step = 0;
  return in >> step ? step : std::numeric_limits<int64_t>::max();
}

void work(char** argv) {
  const bool is_sync = std::string(argv[7]) == "sync";
  const int rank = std::stoi(argv[3]);
  const uint64_t incarnation = std::stoull(argv[4]);
  PsClientOptions options;
  options.coordinator = argv[2];
  options.secret = "s3cret";
  options.job_id = "job";
  options.worker = rank;
  options.workers = kChaosWorkers;
  options.incarnation = incarnation;
  options.servers = kChaosServers;
  options.replicas = 2;
  options.tables = chaos_tables();
  options.dense = options.sparse = is_sync ? Consistency::kSync : Consistency::kAsync;
  options.shared_memory = rank != 0;  // one of them through TCP
  options.timeout = 30s;
  options.resend_after = 100ms;
  // Each connection has a thread that makes it.
  const auto seed =
      std::make_shared<std::atomic<uint64_t>>(incarnation * 100 + static_cast<uint64_t>(rank));
  options.connect = [seed](const ConnectOptions& connect) {
    trireme::testing::RpcFaults faults;
    faults.seed = *seed += 1'000'003;
    faults.cut = 0.001;
    faults.lose_request = 0.01;
    faults.lose_answer = 0.01;
    faults.silence = 0.01;
    faults.twice = 0.05;
    faults.delay = 0.02;
    faults.late_answer = 0.02;
    faults.longest_delay = 20ms;
    return trireme::testing::make_faulty_rpc(connect_rpc(connect), faults);
  };
  const int journal = open(argv[6], O_WRONLY | O_CREAT | O_APPEND, 0644);
  PsClient client(options);
  int64_t step = client.last_step(1) + 1;
  for (; is_sync ? step <= last_step(argv[8]) : !g_stop; ++step) {
    ChaosRecord record{.step = step, .begun_ns = now_ns()};
    const ChaosPush push = chaos_push(rank, step);
    const std::vector<TableGradients> gradients = {
        {0, client.prepare(0, push.keys), push.sparse.data()},
        {1, client.all_keys(1), push.dense.data()}};
    client.push(step, 0, 1, 1, gradients);
    record.acknowledged_ns = now_ns();
    if (write(journal, &record, sizeof(record)) != sizeof(record)) throw failed("no journal");
    // The rows as they are, for the other half of the traffic.
    std::vector<float> rows(push.sparse.size());
    const TableKeys wanted{0, gradients[0].keys};
    float* const target = rows.data();
    client.pull(step, {&wanted, 1}, {&target, 1});
  }
  const ChaosRecord last{.step = step - 1};
  if (write(journal, &last, sizeof(last)) != sizeof(last)) throw failed("no journal");
}

int run(int argc, char** argv) {
  if (argc < 6) return 2;
  const std::string kind = argv[1];
  const std::string log = argv[5];
  if (std::freopen(log.c_str(), "a", stderr) == nullptr) return 2;
  std::setvbuf(stderr, nullptr, _IOLBF, 0);
  std::signal(SIGTERM, [](int) { g_stop = true; });
  try {
    kind == "server" ? serve(argv) : work(argv);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s %s.%s: %s\n", argv[1], argv[3], argv[4], error.what());
    return error.exit_code();
  }
}

}  // namespace
}  // namespace trireme::ps::testing

int main(int argc, char** argv) { return trireme::ps::testing::run(argc, argv); }
