// The cross-batch form of each op that has one gives, in parts of a batch, what the op gives for
// the whole of it: outputs and gradients.
#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/graph/cross_batch_context.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

struct Part {
  Value x;
  double share;  // of the batch
};

// The outputs of `node` for each part. Means over the batch are made of those of the parts: first
// all parts' first, with which the second can be made, and so on.
std::vector<std::vector<Value>> outputs_of_parts(const Node& node, const std::vector<Part>& parts) {
  Graph& graph = parts[0].x.graph();
  std::vector<Value> means;  // over the batch, as far as they are known
  while (true) {
    std::vector<std::vector<Value>> outputs;
    Value next;
    size_t calls = 0;
    for (const Part& part : parts) {
      std::vector<Value> inputs = node.inputs();
      inputs[0] = part.x;
      calls = 0;
      CrossBatchContext context(node, inputs, [&](Value mean, std::string_view) {
        const size_t call = calls++;
        if (call < means.size()) return means[call];
        if (call > means.size()) return mean;
        const Value share = mean * ops::scalar(graph, mean.dtype(), part.share);
        next = next.defined() ? next + share : share;
        return mean;
      });
      node.op().cross_batch(context);
      outputs.push_back(context.outputs());
    }
    if (calls == means.size()) return outputs;
    means.push_back(next);
  }
}

TEST(CrossBatchTest, BatchNormInUnevenPartsIsThatOfTheWholeBatch) {
  Graph graph(core_op_table());
  constexpr double kEpsilon = 1e-2;
  const Value x = ops::placeholder(graph, "x", DType::kFloat64, {8, 2, 3});
  const Value scale = ops::placeholder(graph, "scale", DType::kFloat64, {3});
  const Value offset = ops::placeholder(graph, "offset", DType::kFloat64, {3});
  const Value weights = ops::placeholder(graph, "weights", DType::kFloat64, {8, 2, 3});
  const ops::BatchNormOutputs whole = ops::batch_norm(x, scale, offset, kEpsilon);
  const auto outputs =
      outputs_of_parts(*whole.y.node, {{ops::slice(x, {0, 0, 0}, {5, 2, 3}), 5.0 / 8},
                                       {ops::slice(x, {5, 0, 0}, {3, 2, 3}), 3.0 / 8}});
  const Value y = ops::concat({outputs[0][0], outputs[1][0]}, 0);
  std::vector<Value> expected = {whole.y, whole.mean, whole.variance};
  std::vector<Value> found = {y, outputs[0][1], outputs[0][2]};
  const std::vector<Value> wrt = {x, scale, offset};
  for (const Gradient& gradient : gradients(whole.y * weights, wrt)) {
    expected.push_back(gradient.values);
  }
  for (const Gradient& gradient : gradients(y * weights, wrt)) found.push_back(gradient.values);
  std::vector<Value> fetches = expected;
  fetches.insert(fetches.end(), found.begin(), found.end());
  const std::vector<Tensor> values =
      evaluate(fetches, {{x, random_tensor(DType::kFloat64, {8, 2, 3}, -2, 3, 1)},
                         {scale, random_tensor(DType::kFloat64, {3}, 0.5, 2, 2)},
                         {offset, random_tensor(DType::kFloat64, {3}, -1, 1, 3)},
                         {weights, random_tensor(DType::kFloat64, {8, 2, 3}, -1, 1, 4)}});
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(difference(values[expected.size() + i], values[i], 1e-12), "") << "result " << i;
  }
}

// In mixed precision its input has 16 bits and its statistics 32.
TEST(CrossBatchTest, BatchNormOf16BitsHasStatisticsOf32) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kBFloat16, {4, 3});
  const Value scale = ops::placeholder(graph, "scale", DType::kFloat32, {3});
  const ops::BatchNormOutputs whole = ops::batch_norm(x, scale, scale, 1e-3);
  const auto outputs = outputs_of_parts(*whole.y.node, {{x, 1.0}});
  EXPECT_EQ(outputs[0][0].dtype(), DType::kBFloat16);
  EXPECT_EQ(outputs[0][1].dtype(), DType::kFloat32);
  EXPECT_EQ(outputs[0][2].dtype(), DType::kFloat32);
}

}  // namespace
}  // namespace trireme::testing
