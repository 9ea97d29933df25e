#include "launcher/parameter_server_task.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "core/base/error.h"
#include "distributed/cluster/security.h"
#include "distributed/collective/mpi_endpoint.h"
#include "launcher/stop_signals.h"
#include "ps/server/ps_server.h"
#include "worker/rendezvous.h"

namespace trireme {
namespace {

// Greater at each start of the task: a launcher counts its restarts, else the clock does.
uint64_t this_incarnation(const Environment& environment) {
  const auto found = environment.find("TRIREME_INCARNATION");
  uint64_t restarts = 0;
  if (found != environment.end() && !found->second.empty()) {
    const std::string& text = found->second;
    std::from_chars(text.data(), text.data() + text.size(), restarts);
    return restarts + 1;
  }
  return static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

}  // namespace

void run_parameter_server(const ClusterSpec& given, const ParameterServerTaskOptions& options,
                          const std::atomic<bool>& stop) {
  TRIREME_CHECK(given.task_type == TaskType::kParameterServer);
  if (given.is_single_process()) {
    throw invalid_argument(
        "a parameter server needs the coordinator of its job: give --coordinator HOST:PORT, or "
        "start the whole job with trireme launch --ps N");
  }
  ClusterSpec spec = given;
  settle_secret(spec);
  ps::PsServerOptions server;
  server.coordinator = spec.coordinator == "mpi" ? mpi_broadcast_from_rank0("") : spec.coordinator;
  server.secret = spec.secret;
  server.encryption = make_security(spec).encryption;
  server.job_id = spec.job_id;
  server.index = spec.rank;
  server.servers = spec.parameter_servers;
  server.replicas = spec.ps_replicas;
  server.incarnation = this_incarnation(process_environment());
  server.listen = spec.listen;
  server.host = spec.host;
  server.threads = options.threads;
  server.memory_limit = static_cast<int64_t>(options.memory_gib * (1 << 30));
  server.shared_memory = options.shared_memory;
  server.snapshot_directory = options.snapshot_directory;
  server.snapshot_interval = std::max(
      std::chrono::seconds(1), std::chrono::seconds(std::llround(options.snapshot_interval_s)));
  if (options.metrics) server.metrics = metrics_address(*options.metrics, spec);
  if (options.join_timeout_s > 0) {
    server.join_timeout =
        std::chrono::milliseconds(static_cast<int64_t>(options.join_timeout_s * 1000));
  }
  server.stop_signal = stop_signal;
  server.ops = options.ops;
  if (!server.snapshot_directory.empty()) {
    std::filesystem::create_directories(server.snapshot_directory);
  }
  ps::PsServer running(server);
  const std::string metrics = running.metrics_address();
  std::fprintf(stderr, "parameter server %d of %d at %s%s\n", spec.rank, spec.parameter_servers,
               running.address().c_str(),
               metrics.empty() ? "" : (", metrics at http://" + metrics + "/metrics").c_str());
  running.run(stop);
  std::fprintf(stderr, "%s", running.status().c_str());
}

}  // namespace trireme
