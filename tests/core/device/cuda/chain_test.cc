// Elementwise ops and reductions on a GPU where the cases of all ops do not go: numbers at the
// edges of their types, long and awkward reductions, and chains in a plan.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/graph/print.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using Fetches = std::vector<Value>;

// Every fetch on the GPU is what the reference makes of the same feeds.
void expect_reference(const Graph& graph, const Feeds& feeds, const Fetches& fetches,
                      double tolerance) {
  Session session(graph, {.devices = shared_gpu_set()});
  const auto actual = session.run(feeds, fetches);
  const auto expected = evaluate(fetches, feeds);
  for (size_t i = 0; i < fetches.size(); ++i) {
    EXPECT_EQ(difference(actual[i], expected[i], tolerance), "") << to_text(*fetches[i].node);
  }
}

// Every pair of `numbers` in a and b.
template <typename T>
std::pair<Tensor, Tensor> pairs(const std::vector<T>& numbers) {
  const auto n = static_cast<int64_t>(numbers.size());
  Tensor a(dtype_of<T>, {n, n}), b(dtype_of<T>, {n, n});
  for (int64_t i = 0; i < n * n; ++i) {
    a.flat<T>()[static_cast<size_t>(i)] = numbers[static_cast<size_t>(i / n)];
    b.flat<T>()[static_cast<size_t>(i)] = numbers[static_cast<size_t>(i % n)];
  }
  return {a, b};
}

template <typename T>
std::vector<T> edges() {
  std::vector<T> numbers;
  if constexpr (std::is_integral_v<T>) {
    for (int64_t x :
         {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(),
          int64_t{std::numeric_limits<T>::min()}, int64_t{std::numeric_limits<T>::max()},
          int64_t{-2}, int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{2}, int64_t{255}}) {
      if (std::in_range<T>(x)) numbers.push_back(static_cast<T>(x));
    }
  } else {
    const float inf = std::numeric_limits<float>::infinity();
    for (float x : {0.0f, -0.0f, 1.0f, -1.5f, inf, -inf, std::nanf(""), 6e-5f, 3e4f}) {
      numbers.push_back(T(x));
    }
  }
  return numbers;
}

template <typename T>
void try_edges() {
  Graph graph(core_op_table());
  const auto [left, right] = pairs(edges<T>());
  const Value fed_a = ops::placeholder(graph, "a", dtype_of<T>, left.shape());
  const Value fed_b = ops::placeholder(graph, "b", dtype_of<T>, left.shape());
  // The same numbers, as a value that puts all that follows into a few chains.
  const Value a = ops::maximum(fed_a, fed_a), b = ops::maximum(fed_b, fed_b);
  Fetches fetches = {a + b,
                     a - b,
                     a * b,
                     a / b,
                     ops::maximum(a, b),
                     ops::minimum(a, b),
                     ops::negate(a),
                     ops::abs(a),
                     ops::square(a),
                     ops::relu(a),
                     ops::sign(a),
                     ops::floor(a),
                     ops::ceil(a),
                     ops::round(a),
                     ops::floor_divide(a, b),
                     ops::floor_mod(a, b),
                     ops::is_nan(a),
                     ops::is_inf(a),
                     ops::is_finite(a),
                     ops::equal(a, b),
                     ops::not_equal(a, b),
                     ops::less(a, b),
                     ops::less_equal(a, b),
                     ops::greater(a, b),
                     ops::greater_equal(a, b),
                     ops::cast(a, DType::kBool)};
  if constexpr (std::is_integral_v<T>) {
    fetches.push_back(ops::power(a, b));
    for (DType to :
         {DType::kInt32, DType::kInt64, DType::kUInt8, DType::kFloat64, DType::kBFloat16})
      if (to != dtype_of<T>) fetches.push_back(ops::cast(a, to));
  } else {
    fetches.push_back(graph.add("ReluGrad", {a, b}).output());
    fetches.push_back(ops::power(ops::abs(a), b));
    for (DType to : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64})
      if (to != dtype_of<T>) fetches.push_back(ops::cast(a, to));
    for (auto op :
         {ops::exp,     ops::log,      ops::sqrt,      ops::rsqrt, ops::reciprocal, ops::tanh,
          ops::sigmoid, ops::softplus, ops::log1p,     ops::log2,  ops::log10,      ops::sin,
          ops::cos,     ops::asin,     ops::acos,      ops::atan,  ops::asinh,      ops::acosh,
          ops::atanh,   ops::gelu,     ops::gelu_tanh, ops::silu}) {
      fetches.push_back(op(a));
    }
    for (auto op : {ops::atan2, ops::leaky_relu, ops::elu, ops::gelu_grad, ops::gelu_tanh_grad,
                    ops::silu_grad}) {
      fetches.push_back(op(a, b));
    }
  }
  const double tolerance = dtype_of<T> == DType::kBFloat16  ? 0.008
                           : dtype_of<T> == DType::kFloat16 ? 0.001
                           : dtype_of<T> == DType::kFloat64 ? 1e-11
                                                            : 1e-6;
  expect_reference(graph, {{fed_a, left}, {fed_b, right}}, fetches, tolerance);
}

TEST(CudaChainTest, NumbersAtTheEdgesOfTheirTypes) {
  TRIREME_NEEDS_GPU();
  try_edges<float>();
  try_edges<double>();
  try_edges<Half>();
  try_edges<BFloat16>();
  try_edges<int32_t>();
  try_edges<int64_t>();
  try_edges<uint8_t>();
}

TEST(CudaChainTest, Truth) {
  TRIREME_NEEDS_GPU();
  Graph graph(core_op_table());
  const auto [left, right] = pairs<uint8_t>({0, 1, 7});
  const Value bytes = ops::placeholder(graph, "a", DType::kUInt8, left.shape());
  const Value others = ops::placeholder(graph, "b", DType::kUInt8, left.shape());
  const Value a = ops::cast(bytes, DType::kBool), b = ops::cast(others, DType::kBool);
  Fetches fetches = {ops::logical_and(a, b),   ops::logical_or(a, b),
                     ops::logical_xor(a, b),   ops::logical_not(a),
                     ops::equal(a, b),         ops::less(a, b),
                     ops::greater_equal(a, b), ops::select(a, bytes, others),
                     ops::select(a, a, b)};
  for (DType to : {DType::kFloat16, DType::kFloat32, DType::kInt64, DType::kUInt8})
    fetches.push_back(ops::cast(a, to));
  expect_reference(graph, {{bytes, left}, {others, right}}, fetches, 0);
}

// Rounded or not between ops, a chain of 16-bit floats is as near to the truth as its ops are.
TEST(CudaChainTest, SmallFloatsAreRoundedWhenTheyAreStored) {
  TRIREME_NEEDS_GPU();
  for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    Graph graph(core_op_table());
    const Value x = ops::placeholder(graph, "x", dtype, {5, 24});
    const Value b = ops::placeholder(graph, "b", dtype, {24});
    const Value y = ops::tanh(x * b + b);
    const Value wide = ops::cast(y, DType::kFloat32) * ops::scalar(graph, DType::kFloat32, 3);
    expect_reference(
        graph,
        {{x, random_tensor(dtype, {5, 24}, -1, 1, 3)}, {b, random_tensor(dtype, {24}, -1, 1, 4)}},
        {y, wide}, 0.02);
  }
}

// Forward and backward pass are few kernels, whatever the batch.
TEST(CudaChainTest, ATrainingStepIsAFewKernels) {
  TRIREME_NEEDS_GPU();
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 20});
  const Value scale = ops::placeholder(graph, "scale", DType::kFloat32, {20});
  const Value shift = ops::placeholder(graph, "shift", DType::kFloat32, {20});
  const Value y = ops::sigmoid(ops::tanh(x * scale + shift) * scale);
  const Value loss = ops::mean(ops::square(y - x));
  const Value wanted[] = {scale, shift};
  const auto grads = gradients(loss, wanted);
  const Fetches fetches = {loss, grads[0].values, grads[1].values};
  Session session(graph, {.devices = shared_gpu_set()});
  const auto step = session.function({x, scale, shift}, fetches);
  for (int64_t batch : {37, 5, 1}) {
    const Feeds feeds = {{x, random_tensor(DType::kFloat32, {batch, 20}, -1, 1, 1)},
                         {scale, random_tensor(DType::kFloat32, {20}, -1, 1, 2)},
                         {shift, random_tensor(DType::kFloat32, {20}, -1, 1, 3)}};
    const std::vector<Tensor> tensors = {feeds[0].second, feeds[1].second, feeds[2].second};
    std::vector<Tensor> actual;
    step->run(tensors, actual);
    const auto expected = evaluate(fetches, feeds);
    for (size_t i = 0; i < fetches.size(); ++i)
      EXPECT_EQ(difference(actual[i], expected[i], 1e-5), "") << "batch " << batch;
    // Forward, mean, backward, two or three sums over the batch, and what joins them.
    EXPECT_LE(step->statistics().kernels, 8);
  }
}

// What follows the statistics of a batch is one kernel.
TEST(CudaChainTest, NormalisationIsWrittenOnce) {
  TRIREME_NEEDS_GPU();
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kBFloat16, {-1, 5, 16});
  const Value other = ops::placeholder(graph, "other", DType::kBFloat16, {-1, 5, 16});
  const Value scale = ops::placeholder(graph, "scale", DType::kFloat32, {16});
  const Value offset = ops::placeholder(graph, "offset", DType::kFloat32, {16});
  const auto norm = ops::batch_norm(x, scale, offset, 1e-3);
  const Fetches fetches = {ops::relu(norm.y + other), norm.variance};
  const Feeds feeds = {{x, random_tensor(DType::kBFloat16, {7, 5, 16}, -1, 3, 1)},
                       {other, random_tensor(DType::kBFloat16, {7, 5, 16}, -1, 1, 2)},
                       {scale, random_tensor(DType::kFloat32, {16}, 0.5, 2, 3)},
                       {offset, random_tensor(DType::kFloat32, {16}, -1, 1, 4)}};
  Session session(graph, {.devices = shared_gpu_set()});
  const auto function = session.function({x, other, scale, offset}, fetches);
  const std::vector<Tensor> tensors = {feeds[0].second, feeds[1].second, feeds[2].second,
                                       feeds[3].second};
  std::vector<Tensor> actual;
  function->run(tensors, actual);
  const auto expected = evaluate(fetches, feeds);
  EXPECT_EQ(difference(actual[0], expected[0], 0.02), "");
  EXPECT_EQ(difference(actual[1], expected[1], 1e-5), "");
  EXPECT_EQ(function->statistics().kernels, 2);
}

struct Reduced {
  Shape shape;
  Ints axes;
};

// Each way to cut a reduction, with NaN and equal elements in it.
TEST(CudaReductionTest, EveryFormSkipsNaNAndFindsTheFirst) {
  TRIREME_NEEDS_GPU();
  for (const Reduced& reduced :
       {Reduced{{40, 7}, {1}}, Reduced{{3, 5000}, {1}}, Reduced{{30011}, {0}},
        Reduced{{2000, 12}, {0}}, Reduced{{2000, 13}, {0}}, Reduced{{3, 90, 40}, {1}},
        Reduced{{6, 7, 8, 9}, {0, 2}}, Reduced{{6, 7, 8, 9}, {1, 3}}, Reduced{{5, 0}, {1}}}) {
    for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kInt32}) {
      Graph graph(core_op_table());
      const Value x = ops::placeholder(graph, "x", dtype, reduced.shape);
      Tensor numbers = random_tensor(dtype, reduced.shape, 0, 7, 8);
      if (dtype == DType::kFloat32) {
        for (size_t i = 0; i < numbers.flat<float>().size(); i += 11)
          numbers.flat<float>()[i] = std::nanf("");
      }
      Fetches fetches = {ops::max(x, reduced.axes)};
      if (dtype != DType::kFloat32) fetches.push_back(ops::sum(x, reduced.axes));
      if (reduced.axes.size() == 1 && numbers.elements() > 0)
        fetches.push_back(ops::argmax(x, reduced.axes[0]));
      SCOPED_TRACE(str_cat(reduced.shape, " ", name(dtype)));
      expect_reference(graph, {{x, numbers}}, fetches, dtype == DType::kBFloat16 ? 0.008 : 0);
    }
  }
}

// More parts than a launch takes, of odd widths and some of them empty.
TEST(CudaShapingTest, ConcatenatesManyParts) {
  TRIREME_NEEDS_GPU();
  for (DType dtype : {DType::kUInt8, DType::kFloat32}) {
    Graph graph(core_op_table());
    Feeds feeds;
    std::vector<Value> parts;
    for (int64_t i = 0; i < 101; ++i) {
      const Shape shape{3, i % 7, 4};
      parts.push_back(ops::placeholder(graph, "x", dtype, shape));
      feeds.emplace_back(parts.back(),
                         random_tensor(dtype, shape, 0, 99, static_cast<uint64_t>(i)));
    }
    expect_reference(graph, feeds, {ops::concat(parts, 1)}, 0);
  }
}

}  // namespace
}  // namespace trireme::testing
