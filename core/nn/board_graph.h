// Graphs of a model for TensorBoard. Private to core/nn.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/io/event_records.h"
#include "core/nn/model.h"

namespace trireme::nn {

// The nodes that are needed for `roots`, with their devices; `default_device` is that of those that
// may run anywhere.
std::vector<io::GraphNode> board_nodes(const Graph& graph, std::span<Node* const> roots,
                                       const std::string& default_device);

// What Keras's Model.to_json() says of layers and of what they are called on, of which TensorBoard
// draws the graph of layers; no options.
std::string layer_graph_json(const Model& model);

}  // namespace trireme::nn
