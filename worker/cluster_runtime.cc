#include "worker/cluster_runtime.h"

#include <unistd.h>

#include <cstdio>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/model.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/security.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/collective/mpi_endpoint.h"
#include "distributed/collective/nccl/device_collective.h"
#include "distributed/coordination/coordinator.h"
#include "worker/client_options.h"
#include "worker/job_failure.h"
#include "worker/lost_peer.h"
#include "worker/rendezvous.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The coordinator knows who is late and says so; what a communicator can say comes after that.
constexpr milliseconds kAfterCoordinator{2'000};
// How long a task that fails waits for the others to hear of it, and they for it to end.
constexpr milliseconds kToldWithin{2'000};
constexpr milliseconds kAfterCause{300};

}  // namespace

// What the reading thread of the client tells, for one generation.
struct ClusterRuntime::Watcher {
  std::shared_ptr<CollectiveWatch> watch = std::make_shared<CollectiveWatch>();
  std::shared_ptr<CommunicatorSlots> slots;
  Mutex mutex;
  ConditionVariable changed;
  std::optional<Error> fault GUARDED_BY(mutex);
  bool connected GUARDED_BY(mutex) = false;

  void on_fault(const Error& error) {
    MutexLock lock(mutex);
    if (!fault) fault = error;
    changed.notify_all();
    if (connected) slots->abort(error);
  }

  // What ended the generation; nothing when it still runs after `timeout`.
  std::optional<Error> fault_within(milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex);
    while (!fault && std::chrono::steady_clock::now() < deadline) {
      changed.wait_until(mutex, deadline);
    }
    return fault;
  }
};

std::unique_ptr<Coordinator> host_coordinator(const ClusterSpec& spec,
                                              const ClusterOptions& options) {
  CoordinatorOptions coordinator{
      .listen = spec.coordinator_listen.empty() ? spec.listen : spec.coordinator_listen,
      .secret = spec.secret,
      .encryption = make_security(spec).encryption,
      .job_id = spec.job_id,
      .run = options.run,
      .world_size = spec.world_size,
      .min_workers = options.min_workers,
      .join_timeout = options.join_timeout,
      .stall_warning = options.stall_warning,
      .collective_timeout = options.collective_timeout,
      .log = [](const std::string& line) { std::fprintf(stderr, "trireme: %s\n", line.c_str()); }};
  if (options.ask_to_stop) {
    coordinator.stop = [ask = options.ask_to_stop](const StoppedTask& task) { ask(task.signal); };
  }
  if (spec.coordinator != "mpi") {
    coordinator.port = cluster::parse_host_port(spec.coordinator, "the coordinator's address").port;
  }
  return std::make_unique<Coordinator>(std::move(coordinator));
}

ClusterRuntime::ClusterRuntime(const ClusterSpec& spec, const ClusterOptions& options,
                               std::shared_ptr<CommunicatorSlots> slots)
    : spec_(spec), options_(options), slots_(std::move(slots)) {
  const bool through_mpi = spec_.coordinator == "mpi";
  if (options_.gpu == nullptr && options_.backend.starts_with("nccl")) {
    throw invalid_argument("backend ", options_.backend,
                           " is for GPUs: run with --device gpu, or use the backend ",
                           host_backend_of(options_.backend));
  }
  settle_secret(spec_);
  try {
    endpoint_ = make_endpoint({.backend = host_backend_of(options_.backend),
                               .listen = spec_.listen,
                               .secret = spec_.secret,
                               .encryption = make_security(spec_).encryption});
  } catch (const Error& error) {
    tell_job_failed(spec_, options_, nullptr, error);
    throw;
  }
  if (spec_.hosts_coordinator) coordinator_ = host_coordinator(spec_, options_);
  std::string address = spec_.coordinator;
  if (through_mpi) {
    address = mpi_broadcast_from_rank0(coordinator_ ? coordinator_->address() : "");
  }
  spec_.coordinator = address;
  ClientOptions client = client_options_of(spec_);
  client.connect_timeout = options_.join_timeout;
  if (options_.stop != nullptr) {
    client.give_up = [stop = options_.stop] { return stop->load(); };
  }
  client.stop_signal = options_.stop_signal;
  client_ = std::make_unique<CoordinatorClient>(std::move(client));
}

ClusterRuntime::~ClusterRuntime() {
  client_.reset();  // first: its thread uses the communicators
}

const Membership& ClusterRuntime::join(const std::map<std::string, std::string>& handshake,
                                       int64_t progress) {
  JoinRequest request{.rank = spec_.rank,
                      .world_size = spec_.world_size,
                      .handshake = handshake,
                      .host = spec_.host,
                      .host_id = endpoint_->host_id(),
                      .pid = getpid(),
                      .address = endpoint_->address(),
                      .progress = progress,
                      .incarnation = options_.incarnation};
  // A member that is lost while the others connect costs a generation, and nothing else.
  for (const auto deadline = std::chrono::steady_clock::now() + options_.join_timeout;;) {
    slots_->set({});
    request.gave_up = std::exchange(gave_up_, "");
    membership_ = client_->join(request);
    try {
      if (connect()) return membership_;
    } catch (const Error& error) {
      if (!is_lost_peer(error)) throw;
      report(error);
      if (std::chrono::steady_clock::now() > deadline) throw;
      log_warning(str_cat("could not connect generation ", membership_.group.generation, ": ",
                          error.what()));
    }
  }
}

bool ClusterRuntime::connect() {
  watcher_ = std::make_shared<Watcher>();
  watcher_->slots = slots_;
  client_->attend(watcher_->watch,
                  [watcher = watcher_](const Error& error) { watcher->on_fault(error); });
  membership_.group.job_id = spec_.job_id;
  membership_.group.secret = spec_.secret;
  const CommunicatorOptions connection{
      .timeout = options_.collective_timeout + kAfterCoordinator,
      .interrupted = [watcher = watcher_] { return watcher->fault_within(milliseconds(0)); }};
  auto communicator = endpoint_->connect(membership_.group, connection);
  communicator->set_watch(watcher_->watch);
  DeviceCollectives gpus;
  if (options_.gpu != nullptr) {
    gpus.push_back(make_worker_collective(*options_.gpu, *communicator,
                                          {.backend = options_.backend,
                                           .timeout = connection.timeout,
                                           .between = endpoint_.get(),
                                           .connect = connection}));
    gpus.back()->set_watch(watcher_->watch);
  }
  std::vector<std::unique_ptr<Communicator>> communicators;
  communicators.push_back(std::move(communicator));
  slots_->set(std::move(communicators), std::move(gpus));
  MutexLock lock(watcher_->mutex);
  watcher_->connected = true;
  if (watcher_->fault && !is_lost_peer(*watcher_->fault)) throw Error(*watcher_->fault);
  return !watcher_->fault;  // lost again meanwhile
}

std::string ClusterRuntime::collectives() const {
  return options_.gpu != nullptr ? slots_->gpu(0).description() : slots_->at(0).description();
}

std::optional<Error> ClusterRuntime::fault() const {
  return watcher_ == nullptr ? std::nullopt : watcher_->fault_within(milliseconds(0));
}

void ClusterRuntime::report(const Error& error) {
  gave_up_ = error.what();
  client_->report_fault(error);
}

void ClusterRuntime::fail(const Error& error) noexcept {
  if (!watcher_) return;  // never was a member
  try {
    auto cause = watcher_->fault_within(milliseconds(0));
    if (!cause) {
      client_->report_fault(error);
      cause = watcher_->fault_within(kToldWithin);
    }
    const std::string us = membership_.group.peers[static_cast<size_t>(rank())].to_string();
    const bool ours = !cause || std::string_view(cause->what()).starts_with(us);
    if (!ours || coordinator_) std::this_thread::sleep_for(kAfterCause);
  } catch (const std::exception& second) {
    log_warning(str_cat("could not tell the others of the failure: ", second.what()));
  }
}

void ClusterRuntime::finish() { client_->barrier("end of training", options_.collective_timeout); }

void ClusterRuntime::leave() {
  client_.reset();
  if (!coordinator_) return;
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  while (coordinator_->members() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(10));
  }
}

}  // namespace trireme
