// TF_CONFIG: any text is a claim in range or an Error for the user.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace cluster = trireme::cluster;
  const trireme::Environment environment = {
      {"TF_CONFIG", std::string(trireme::fuzz::text(data, size))}};
  trireme::fuzz::only_user_errors([&] {
    const auto reading = cluster::read_tf_config(cluster::Variables(environment));
    if (!reading.claim) return;
    const trireme::ClusterSpec& spec = reading.claim->spec;
    const bool worker = spec.task_type == trireme::TaskType::kWorker;
    const int count = worker ? spec.world_size : spec.parameter_servers;
    if (spec.rank < 0 || spec.rank >= count || count > cluster::kMaxTasks) std::abort();
    if (spec.local_rank < 0 || spec.local_rank >= spec.local_size) std::abort();
    cluster::parse_host_port(spec.coordinator, "coordinator");
  });
  return 0;
}
