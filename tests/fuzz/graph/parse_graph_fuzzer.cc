// Any bytes are either a graph, which then survives a round trip, or an Error.
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "core/graph/serialize.h"
#include "worker/program_tables.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto ops = trireme::core_tables().ops;
  std::unique_ptr<trireme::Graph> graph;
  try {
    graph = trireme::parse_graph({reinterpret_cast<const char*>(data), size}, ops, "input");
  } catch (const trireme::Error&) {
    return 0;
  }
  const auto again = trireme::parse_graph(trireme::serialize(*graph), ops, "copy");
  if (trireme::graph_hash(*again) != trireme::graph_hash(*graph)) std::abort();
  return 0;
}
