#include "worker/job_failure.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "core/base/logging.h"
#include "core/nn/model.h"
#include "distributed/cluster/address.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/coordinator_client.h"
#include "worker/client_options.h"
#include "worker/cluster_runtime.h"
#include "worker/lost_peer.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// All tasks of a job start within seconds of each other.
constexpr milliseconds kOthersCome{10'000};
constexpr milliseconds kLook{10};

// The address on which this task should listen may be what is wrong; the others know another.
std::unique_ptr<Coordinator> host_coordinator_anywhere(ClusterSpec spec,
                                                       const ClusterOptions& options) {
  try {
    return host_coordinator(spec, options);
  } catch (const Error&) {
    spec.listen = cluster::parse_host_port(spec.coordinator, "the coordinator's address").host;
    return host_coordinator(spec, options);
  }
}

void tell(const ClusterSpec& spec, const ClusterOptions& options, Coordinator* coordinator,
          const Error& error) {
  const bool worker = spec.task_type == TaskType::kWorker;
  const Error told(error.code(),
                   str_cat(worker ? "rank " : "parameter server ", spec.rank, " (host ", spec.host,
                           ", pid ", getpid(), ") has failed: ", error.what()));
  const auto patience = std::min(kOthersCome, options.join_timeout);
  if (coordinator == nullptr && !spec.hosts_coordinator) {
    ClientOptions client = client_options_of(spec);
    client.connect_timeout = patience;
    CoordinatorClient(std::move(client)).fail_job(told);
    return;
  }
  std::unique_ptr<Coordinator> own;
  if (coordinator == nullptr) {
    own = host_coordinator_anywhere(spec, options);
    coordinator = own.get();
  }
  coordinator->fail(told);
  const int others = spec.world_size - 1 + spec.parameter_servers;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (coordinator->told_of_failure() < others && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace

void tell_job_failed(const ClusterSpec& spec, const ClusterOptions& options,
                     Coordinator* coordinator, const Error& error) noexcept {
  if (spec.is_single_process() || spec.coordinator == "mpi" || is_lost_peer(error)) return;
  try {
    tell(spec, options, coordinator, error);
  } catch (const std::exception& second) {
    log_warning(str_cat("could not tell the other tasks: ", second.what()));
  }
}

void tell_failed_start(const ClusterFlags& flags, const ClusterOptions& options,
                       const Error& error) noexcept {
  std::optional<ClusterSpec> spec;
  try {
    spec = resolve_cluster(flags, process_environment());
  } catch (const Error&) {
    return;  // who the others are is not known
  }
  tell_job_failed(*spec, options, nullptr, error);
}

}  // namespace trireme
