// A graph as text: one line a node for people and golden tests, and Graphviz's dot for pictures.
#pragma once

#include <string>

#include "core/graph/graph.h"

namespace trireme {

// "%y = MatMul(%x, %w:1) {transpose_a=true} after %init : f32[?, 10] @/device:CPU:0", without the
// parts that are empty.
std::string to_text(const Node& node);

// One line a node, in the order in which they were added.
std::string to_text(const Graph& graph);

// A digraph for `dot -Tsvg`: types on the edges, variables and constants as boxes, dashed edges for
// control inputs, and a cluster for each name scope ("conv1/…").
std::string to_dot(const Graph& graph);

}  // namespace trireme
