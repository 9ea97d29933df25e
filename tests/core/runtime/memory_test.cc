// The arena: small because values share it, right because they never share it while both live.
#include <gtest/gtest.h>

#include "core/base/philox.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/evaluate.h"

namespace trireme {
namespace {

// Random graphs of ops that may work in place, views and broadcasts; any overlap of live values
// shows in the numbers.
TEST(MemoryTest, RandomGraphsGiveWhatTheInterpreterGives) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    PhiloxGenerator random(seed);
    Graph graph(core_op_table());
    const Value x = ops::placeholder(graph, "x", DType::kFloat64, {6, 4});
    const Value row = ops::placeholder(graph, "row", DType::kFloat64, {4});
    std::vector<Value> values = {x};
    auto pick = [&] { return values[random.below(values.size())]; };
    for (int i = 0; i < 25; ++i) {
      switch (random.below(8)) {
        case 0:
          values.push_back(pick() + pick());
          break;
        case 1:
          values.push_back(pick() * pick());
          break;
        case 2:
          values.push_back(ops::tanh(pick()));
          break;
        case 3:
          values.push_back(ops::sigmoid(pick()));
          break;
        case 4:
          values.push_back(pick() - row);
          break;
        case 5:
          values.push_back(ops::tanh(ops::reshape(ops::reshape(pick(), {24}), {6, 4})));
          break;
        case 6:
          values.push_back(ops::broadcast_like(ops::tanh(ops::sum(pick(), {0}, true)), x));
          break;
        case 7:
          values.push_back(ops::tanh(ops::transpose(ops::transpose(pick()))));
          break;
      }
    }
    std::vector<Value> fetches;
    for (int i = 0; i < 3; ++i) fetches.push_back(pick());
    const testing::Feeds feeds = {
        {x, testing::random_tensor(DType::kFloat64, {6, 4}, -1, 1, seed)},
        {row, testing::random_tensor(DType::kFloat64, {4}, -1, 1, seed + 1)}};
    const auto expected = testing::evaluate(fetches, feeds);
    Session session(graph);
    const auto actual = session.run(feeds, fetches);
    for (size_t i = 0; i < fetches.size(); ++i) {
      ASSERT_EQ(testing::difference(actual[i], expected[i], 1e-12), "") << "seed " << seed;
    }
  }
}

TEST(MemoryTest, AChainNeedsTwoValuesOfMemoryAtMost) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {1 << 16});
  Value y = x;
  for (int i = 0; i < 20; ++i) y = ops::tanh(y);
  Session session(graph);
  auto function = session.function({x}, {ops::sum(y)});
  std::vector<Tensor> results;
  function->run(std::vector{Tensor::zeros(DType::kFloat32, {1 << 16})}, results);
  EXPECT_LE(function->statistics().arena_bytes, 2 * sizeof(float) * (1 << 16) + 1024);
}

// So many that their places are chosen by time instead of by size.
TEST(MemoryTest, ThousandsOfValuesShareLittleMemory) {
  PhiloxGenerator random(7);
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat64, {64});
  std::vector<Value> recent = {x, ops::tanh(x)}, fetches;
  for (int i = 0; i < 20'000; ++i) {
    const auto pick = [&] {
      return recent[recent.size() - 1 - random.below(std::min<uint64_t>(recent.size(), 8))];
    };
    recent.push_back(i % 3 == 0 ? ops::tanh(pick() + pick()) : pick() - pick());
    if (i % 4000 == 0) fetches.push_back(recent.back());
  }
  fetches.push_back(recent.back());
  const testing::Feeds feeds = {{x, testing::random_tensor(DType::kFloat64, {64}, -1, 1, 3)}};
  const auto expected = testing::evaluate(fetches, feeds);
  Session session(graph);
  auto function = session.function({x}, fetches);
  std::vector<Tensor> results;
  function->run(std::vector{feeds.front().second}, results);
  for (size_t i = 0; i < fetches.size(); ++i) {
    ASSERT_EQ(testing::difference(results[i], expected[i], 1e-9), "") << i;
  }
  EXPECT_LE(function->statistics().arena_bytes, 200 * 64 * sizeof(double));
}

TEST(MemoryTest, AValueThatIsReadTwiceIsNotOverwritten) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {100});
  const Value y = ops::exp(x);
  const Value z = ops::negate(y);  // may not run in place: y is read again
  Session session(graph);
  const auto results = session.run({{x, Tensor::zeros(DType::kFloat32, {100})}}, {y * z, y});
  EXPECT_EQ(results[0].as_double(50), -1);
  EXPECT_EQ(results[1].as_double(50), 1);
}

TEST(MemoryTest, FunctionsOfASessionShareOneArena) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1});
  Session session(graph);
  auto small = session.function({x}, {ops::sum(ops::exp(ops::negate(x)))});
  auto large = session.function({x}, {ops::sum(ops::tanh(ops::exp(x)))});
  std::vector<Tensor> results;
  for (int64_t size : {8, 5000, 8, 100000, 8}) {
    small->run(std::vector{Tensor::zeros(DType::kFloat32, {size})}, results);
    EXPECT_NEAR(results[0].item<float>(), static_cast<float>(size),
                1e-2 * static_cast<double>(size));
    large->run(std::vector{Tensor::zeros(DType::kFloat32, {size})}, results);
    EXPECT_NEAR(results[0].item<float>(), 0.76159415 * static_cast<double>(size),
                1e-2 * static_cast<double>(size));
  }
}

}  // namespace
}  // namespace trireme
