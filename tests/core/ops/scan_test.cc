// Loops of one's own over a sequence, and the recurrences that are one op: they are such loops.
#include <gmock/gmock.h>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/recurrent.h"
#include "tests/support/gradient_check.h"

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBatch = 3, kTime = 4, kUnits = 2;

// An LSTM as a loop of single ops, as a program of somebody else writes one.
ops::ScanStep lstm_step(Value kernel, const std::vector<Value>& states, Value x) {
  const Value sums = x + ops::matmul(states[0], kernel);
  const auto gate = [&](int64_t i) { return ops::slice(sums, {0, i * kUnits}, {-1, kUnits}); };
  const Value c = ops::sigmoid(gate(1)) * states[1] + ops::sigmoid(gate(0)) * ops::tanh(gate(2));
  const Value h = ops::sigmoid(gate(3)) * ops::tanh(c);
  return {{h, c}, h};
}

struct Inputs {
  Graph graph{core_op_table()};
  Feeds feeds;
  Value add(DType dtype, const Shape& shape, double low, double high) {
    const auto seed = static_cast<uint64_t>(feeds.size()) + 5;
    const Value x = ops::placeholder(graph, str_cat("x", feeds.size()), dtype, shape);
    feeds.emplace_back(x, random_tensor(dtype, shape, low, high, seed));
    return x;
  }
};

// The op, its gradients and its mask are those of the loop, forwards and backwards.
TEST(ScanTest, TheLstmOfAllStepsIsTheLoopOfItsSteps) {
  for (const bool masked : {false, true}) {
    for (const bool reverse : {false, true}) {
      Inputs in;
      const Value x = in.add(DType::kFloat64, {kBatch, kTime, 4 * kUnits}, -1, 1),
                  kernel = in.add(DType::kFloat64, {kUnits, 4 * kUnits}, -1, 1),
                  h = in.add(DType::kFloat64, {kBatch, kUnits}, -1, 1),
                  c = in.add(DType::kFloat64, {kBatch, kUnits}, -1, 1);
      const Value mask = masked ? in.add(DType::kBool, {kBatch, kTime}, 0, 2) : Value{};
      const auto op =
          ops::lstm(x, kernel, {.state = h, .cell = c, .mask = mask, .reverse = reverse});
      const auto loop = ops::scan(
          {h, c}, {x},
          [&](const auto& states, const auto& inputs) {
            return lstm_step(kernel, states, inputs[0]);
          },
          mask, reverse);
      std::vector<Value> wanted = {ops::last_step(op.h, reverse), loop.states[0],
                                   ops::last_step(op.c, reverse), loop.states[1]};
      const Value of_op = ops::sum(ops::square(wanted[0]) + wanted[2]),
                  of_loop = ops::sum(ops::square(wanted[1]) + wanted[3]);
      const std::vector<Value> inputs = {x, kernel, h, c};
      const auto a = gradients(of_op, inputs), b = gradients(of_loop, inputs);
      for (size_t i = 0; i < inputs.size(); ++i) {
        wanted.push_back(a[i].values);
        wanted.push_back(b[i].values);
      }
      const std::vector<Tensor> found = evaluate(wanted, in.feeds);
      for (size_t i = 0; i < found.size(); i += 2) {
        EXPECT_EQ(difference(found[i], found[i + 1], 1e-12), "") << i << masked << reverse;
      }
    }
  }
}

// What a step that is left out gives, and what steps give that come from a mask of lengths.
TEST(ScanTest, AStepThatIsLeftOutHoldsStateAndOutput) {
  Inputs in;
  const Value x = ops::constant(in.graph, Tensor::from<double>({2, 3, 1}, {1, 2, 3, 4, 5, 6}));
  const Value lengths = ops::constant(in.graph, Tensor::from<int64_t>({2}, {1, 3}));
  const Value zero = ops::constant(in.graph, Tensor::zeros(DType::kFloat64, {2, 1}));
  const auto sums = ops::scan(
      {zero}, {x},
      [](const auto& states, const auto& inputs) -> ops::ScanStep {
        const Value sum = states[0] + inputs[0];
        return {{sum}, sum};
      },
      ops::mask_of_lengths(lengths, 3));
  const auto found = evaluate({sums.outputs, sums.states[0]}, {});
  EXPECT_THAT(found[0].flat<double>(), ::testing::ElementsAre(1, 1, 1, 4, 9, 15));
  EXPECT_THAT(found[1].flat<double>(), ::testing::ElementsAre(1, 15));
}

// Of any order, which the ops of all steps do not have.
TEST(ScanTest, HasSecondDerivatives) {
  Inputs in;
  const Value x = in.add(DType::kFloat64, {2, 3, 4 * kUnits}, -1, 1),
              kernel = in.add(DType::kFloat64, {kUnits, 4 * kUnits}, -1, 1);
  const Value zero = ops::constant(in.graph, Tensor::zeros(DType::kFloat64, {2, kUnits}));
  const auto loop = ops::scan({zero, zero}, {x}, [&](const auto& states, const auto& inputs) {
    return lstm_step(kernel, states, inputs[0]);
  });
  int compared = 0;
  EXPECT_EQ(check_gradients({loop.outputs}, {kernel}, in.feeds, {.compared = &compared}), "");
  EXPECT_GT(compared, 3);
}

TEST(ScanTest, RefusesWhatIsNoLoop) {
  const auto error = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  Inputs in;
  const Value state = in.add(DType::kFloat32, {2, 1}, 0, 1);
  const ops::ScanBody keep = [](const auto& states, const auto&) -> ops::ScanStep {
    return {states, {}};
  };
  const Value flat = in.add(DType::kFloat32, {2}, 0, 1);
  EXPECT_THAT(error([&] { (void)ops::scan({state}, {flat}, keep); }),
              HasSubstr("expected sequences [batch, time, …]"));
  const Value longest = in.add(DType::kFloat32, {2, 1025, 1}, 0, 1);
  EXPECT_THAT(error([&] { (void)ops::scan({state}, {longest}, keep); }),
              HasSubstr("at most 1024 steps"));
  const Value some = in.add(DType::kFloat32, {2, 3, 1}, 0, 1);
  const ops::ScanBody grow = [](const auto& states, const auto&) -> ops::ScanStep {
    return {{ops::concat({states[0], states[0]}, 1)}, {}};
  };
  EXPECT_THAT(error([&] { (void)ops::scan({state}, {some}, grow); }),
              HasSubstr("step 0: expected state 0 to stay f32[2, 1], found f32[2, 2]"));
}

}  // namespace
}  // namespace trireme::testing
