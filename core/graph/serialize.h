// A graph to and from its message (proto/graph.proto), and a number that tells graphs apart.
//
// What is read is not trusted: every reference, name, size and attribute is checked before it is
// used, and the result is verified (verify.h). Errors are data_loss naming `source` and the node.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/graph/graph.h"

namespace trireme {

namespace proto {
class GraphProto;
}

void to_proto(const Graph& graph, proto::GraphProto& message);
std::unique_ptr<Graph> from_proto(const proto::GraphProto& message,
                                  std::shared_ptr<const OpTable> ops, std::string_view source);

// The same as bytes; equal graphs give equal bytes.
std::string serialize(const Graph& graph);
std::unique_ptr<Graph> parse_graph(std::string_view bytes, std::shared_ptr<const OpTable> ops,
                                   std::string_view source);

// Depends on the nodes' names, ops, inputs, attributes (constants by content), devices and order,
// and on nothing else: the same in every process.
uint64_t graph_hash(const Graph& graph);

// Appends bytes that are equal for equal attributes (numbers bit by bit, tensors by content) and
// differ for others.
void append_key(const Attributes& attributes, std::string& key);

}  // namespace trireme
