// Slurm's lists of nodes and of task counts: any text is a bounded list or an Error for the user.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "distributed/cluster/node_list.h"
#include "distributed/cluster/sources.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace cluster = trireme::cluster;
  const std::string_view text = trireme::fuzz::text(data, size);
  trireme::fuzz::only_user_errors([&] {
    const auto nodes = cluster::parse_node_list(text, "NODES");
    if (nodes.empty() || nodes.size() > cluster::kMaxTasks) std::abort();
    // Names are handed to programs and to the resolver.
    for (const std::string& node : nodes) {
      if (node.empty() || node[0] == '-' || node.size() > 300) std::abort();
    }
    // What comes out is a list too, of the same names.
    if (cluster::parse_node_list(nodes[0], "NODE").at(0) != nodes[0]) std::abort();
  });
  trireme::fuzz::only_user_errors([&] {
    if (cluster::parse_task_counts(text, "COUNTS").size() > cluster::kMaxTasks) std::abort();
  });
  return 0;
}
