#include "core/graph/print.h"

#include <gmock/gmock.h>

#include "core/ops/ops.h"

namespace trireme {
namespace {

void build(Graph& graph) {
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 3});
  Value w = ops::variable(graph, "dense/w", DType::kFloat32, {3, 2});
  Graph::Scope scope(graph, "dense", "/device:CPU:1");
  Value y = ops::matmul(x, w);
  Value z = ops::relu(y);
  z.node->add_control_input(w.node);
}

TEST(PrintTest, TextIsOneLineANode) {
  Graph graph(core_op_table());
  build(graph);
  EXPECT_EQ(
      to_text(graph),
      "%x = Placeholder() {dtype=f32 shape=[?, 3]} : f32[?, 3]\n"
      "%dense/w = Variable() {dtype=f32 name=\"dense/w\" shape=[3, 2]} : f32[3, 2]\n"
      "%dense/mat_mul = MatMul(%x, %dense/w) {transpose_a=false transpose_b=false} : f32[?, 2]"
      " @/device:CPU:1\n"
      "%dense/relu = Relu(%dense/mat_mul) after %dense/w : f32[?, 2] @/device:CPU:1\n");
}

TEST(PrintTest, OutputsBeyondTheFirstAreNumbered) {
  Graph graph(core_op_table());
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {4, 2});
  Value c = ops::placeholder(graph, "c", DType::kFloat32, {2});
  const auto norm = ops::batch_norm(x, c, c, 0.001);
  Value y = ops::relu(norm.variance);
  EXPECT_THAT(to_text(*y.node), ::testing::StartsWith("%relu = Relu(%" + norm.y.node->name() + ":" +
                                                      std::to_string(norm.variance.index) + ")"));
}

TEST(PrintTest, DotHasTypesOnEdgesAndScopesAsClusters) {
  Graph graph(core_op_table());
  build(graph);
  EXPECT_EQ(to_dot(graph), R"(digraph {
  rankdir=BT;
  node [shape=ellipse];
  n0 [label="x\nPlaceholder"];
  subgraph "cluster_dense" {
    label="dense";
    n1 [label="w\nVariable", shape=box];
    n2 [label="mat_mul\nMatMul"];
    n3 [label="relu\nRelu"];
  }
  n0 -> n2 [label="f32[?, 3]"];
  n1 -> n2 [label="f32[3, 2]"];
  n2 -> n3 [label="f32[?, 2]"];
  n1 -> n3 [style=dashed];
}
)");
}

}  // namespace
}  // namespace trireme
