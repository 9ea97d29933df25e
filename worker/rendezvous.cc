#include "worker/rendezvous.h"

#include "distributed/collective/mpi_endpoint.h"
#include "distributed/connection/secret.h"
#include "worker/cluster_runtime.h"

namespace trireme {

void require_secret(const ClusterSpec& spec) {
  if (spec.is_single_process()) return;
  if (!spec.secret.empty()) return check_secret(spec.secret, "TRIREME_SECRET");
  if (spec.coordinator != "mpi") throw no_secret("this task on " + spec.listen);
}

void settle_secret(ClusterSpec& spec) {
  require_secret(spec);
  if (spec.is_single_process() || !spec.secret.empty()) return;
  spec.secret = mpi_broadcast_from_rank0(spec.hosts_coordinator ? draw_secret() : "");
}

std::unique_ptr<Coordinator> open_rendezvous(ClusterSpec& spec, const ClusterOptions& options) {
  settle_secret(spec);
  std::unique_ptr<Coordinator> coordinator;
  if (spec.hosts_coordinator) coordinator = host_coordinator(spec, options);
  if (spec.coordinator == "mpi") {
    spec.coordinator = mpi_broadcast_from_rank0(coordinator ? coordinator->address() : "");
  }
  return coordinator;
}

}  // namespace trireme
