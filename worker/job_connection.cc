#include "worker/job_connection.h"

#include "core/device/device.h"
#include "distributed/coordination/coordinator_client.h"
#include "worker/client_options.h"
#include "worker/job_failure.h"
#include "worker/lost_peer.h"
#include "worker/rendezvous.h"

namespace trireme {

void JobConnection::open(ClusterOptions options) {
  is_meeting_ = true;
  if (task_.communicates()) {
    Device& device = *task_.devices->all().front();
    if (!device.host_memory()) options.gpu = &device;
    runtime_ = std::make_unique<ClusterRuntime>(task_.cluster, options, task_.slots);
    task_.cluster.coordinator = runtime_->spec().coordinator;
    task_.cluster.secret = runtime_->spec().secret;
  } else {
    coordinator_ = open_rendezvous(task_.cluster, options);
  }
  task_.run = greeting().run;
}

Greeting JobConnection::greeting() const {
  if (runtime_) return runtime_->greeting();
  ClientOptions client = client_options_of(task_.cluster);
  client.give_up = [stop = task_.options.stop] { return stop != nullptr && *stop; };
  return CoordinatorClient(std::move(client)).hello();
}

void JobConnection::tell(const Error& error, const ClusterOptions& options) const noexcept {
  if (is_lost_peer(error)) return;
  if (runtime_ && runtime_->was_member()) {
    runtime_->fail(error);
  } else if (!is_meeting_) {
    tell_job_failed(task_.cluster, options, coordinator_.get(), error);
  }
}

void JobConnection::leave() {
  if (runtime_) runtime_->leave();
}

}  // namespace trireme
