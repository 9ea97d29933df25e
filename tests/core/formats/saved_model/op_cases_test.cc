// What TensorFlow computes for each op of the table, beside our own kernels.
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <set>

#include "core/formats/saved_model/saved_model_writer.h"
#include "core/formats/translation/op_translation.h"
#include "core/ops/arrays.h"
#include "core/ops/attention.h"
#include "core/ops/elementwise_functions.h"
#include "core/ops/hashing.h"
#include "core/ops/images.h"
#include "core/ops/indexing.h"
#include "core/ops/layer_norm.h"
#include "core/ops/ops.h"
#include "core/ops/pairwise_dots.h"
#include "core/ops/recurrent.h"
#include "core/ops/sorting.h"
#include "core/runtime/session.h"
#include "tests/core/formats/saved_model/judge.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

constexpr int64_t kBatch = 4;

// A graph whose outputs are results of ops, each under a name of its own.
class Cases {
 public:
  Cases() { graph_.graph = std::make_unique<Graph>(core_op_table()); }

  Graph& graph() { return *graph_.graph; }

  // Fed with numbers from `low` to `high`, which come in no order.
  Value feed(const std::string& name, DType dtype, Shape shape, double low, double high) {
    graph_.input_names.push_back(name);
    shape.set(0, kBatch);
    std::vector<double> values(static_cast<size_t>(shape.elements()));
    for (double& value : values) {
      next_ = next_ * 6364136223846793005u + 1442695040888963407u;
      value = low + (high - low) * static_cast<double>(next_ >> 40) / 16777216.0;
    }
    const Tensor wide = Tensor::from<double>(shape, values);
    Graph scratch(core_op_table());
    tensors_.push_back(
        dtype == DType::kFloat64
            ? wide
            : Session(scratch).run({}, {ops::cast(ops::constant(scratch, wide), dtype)})[0]);
    shape.set(0, -1);
    graph_.features.push_back(ops::placeholder(graph(), name, dtype, shape));
    return graph_.features.back();
  }

  void add(const std::string& name, Value value) {
    graph_.output_names.push_back(name);
    graph_.outputs.push_back(value);
  }

  // The outputs as our kernels give them.
  std::vector<Tensor> run() const {
    std::vector<std::pair<Value, Tensor>> feeds;
    for (size_t i = 0; i < tensors_.size(); ++i)
      feeds.emplace_back(graph_.features[i], tensors_[i]);
    return Session(*graph_.graph).run(feeds, graph_.outputs);
  }

  std::set<std::string> ops() const {
    std::set<std::string> names;
    for (const Node* node : needed_nodes(graph_.outputs)) names.insert(node->op().name);
    return names;
  }

  const InferenceGraph& inference_graph() const { return graph_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }

 private:
  InferenceGraph graph_;
  std::vector<Tensor> tensors_;
  uint64_t next_ = 1;
};

void add_elementwise(Cases& c) {
  const Value x = c.feed("x", DType::kFloat32, {-1, 3, 4}, -3, 3),
              y = c.feed("y", DType::kFloat32, {-1, 1, 4}, -2, 2),
              positive = c.feed("positive", DType::kFloat32, {-1, 3, 4}, 0.1, 3),
              unit = c.feed("unit", DType::kFloat32, {-1, 3, 4}, -0.95, 0.95);
  const Value i = c.feed("i", DType::kInt32, {-1, 3, 4}, -9, 9),
              j = c.feed("j", DType::kInt32, {-1, 3, 4}, -3, 3);
  const Value above = ops::greater(x, y),
              below = ops::less(x, ops::scalar(c.graph(), x.dtype(), 1));
  c.add("add", x + y);
  c.add("subtract", x - y);
  c.add("multiply", x * y);
  c.add("divide", x / positive);
  c.add("divide_whole", i / j);
  c.add("maximum", ops::maximum(x, y));
  c.add("minimum", ops::minimum(x, y));
  c.add("power", ops::power(positive, x));
  c.add("power_whole", ops::power(i, ops::scalar(c.graph(), i.dtype(), 3)));
  c.add("floor_divide", ops::floor_divide(x, positive));
  c.add("floor_divide_whole", ops::floor_divide(i, j));
  c.add("floor_mod", ops::floor_mod(x, positive));
  c.add("floor_mod_whole", ops::floor_mod(i, j));
  c.add("atan2", ops::atan2(x, y));
  c.add("negate", ops::negate(x));
  c.add("abs", ops::abs(x));
  c.add("square", ops::square(x));
  c.add("sign", ops::sign(x));
  c.add("floor", ops::floor(x));
  c.add("ceil", ops::ceil(x));
  c.add("round", ops::round(x + x));
  c.add("exp", ops::exp(x));
  c.add("expm1", ops::expm1(x));
  c.add("log", ops::log(positive));
  c.add("log1p", ops::log1p(positive));
  c.add("log2", ops::log2(positive));
  c.add("log10", ops::log10(positive));
  c.add("sqrt", ops::sqrt(positive));
  c.add("rsqrt", ops::rsqrt(positive));
  c.add("reciprocal", ops::reciprocal(positive));
  c.add("tanh", ops::tanh(x));
  c.add("sin", ops::sin(x));
  c.add("cos", ops::cos(x));
  c.add("tan", ops::tan(unit));
  c.add("asin", ops::asin(unit));
  c.add("acos", ops::acos(unit));
  c.add("atan", ops::atan(x));
  c.add("sinh", ops::sinh(x));
  c.add("cosh", ops::cosh(x));
  c.add("asinh", ops::asinh(x));
  c.add("acosh", ops::acosh(positive + ops::ones_like(positive)));
  c.add("atanh", ops::atanh(unit));
  c.add("sigmoid", ops::sigmoid(x));
  c.add("softplus", ops::softplus(x));
  c.add("erf", ops::erf(x));
  c.add("relu", ops::relu(x));
  c.add("leaky_relu", ops::leaky_relu(x));
  c.add("leaky_relu_learned", ops::leaky_relu(x, y));
  c.add("elu", ops::elu(x));
  c.add("elu_of_two", ops::elu(x, 2.0));
  c.add("selu", ops::selu(x));
  c.add("gelu", ops::gelu(x));
  c.add("gelu_tanh", ops::gelu_tanh(x));
  c.add("silu", ops::silu(x));
  c.add("equal", ops::equal(i, j));
  c.add("not_equal", ops::not_equal(i, j));
  c.add("less", below);
  c.add("less_equal", ops::less_equal(i, j));
  c.add("greater", above);
  c.add("greater_equal", ops::greater_equal(i, j));
  c.add("logical_and", ops::logical_and(above, below));
  c.add("logical_or", ops::logical_or(above, below));
  c.add("logical_xor", ops::logical_xor(above, below));
  c.add("logical_not", ops::logical_not(above));
  const Value odd = ops::log(x) / ops::floor(unit);
  c.add("is_nan", ops::is_nan(odd));
  c.add("is_inf", ops::is_inf(odd));
  c.add("is_finite", ops::is_finite(odd));
  c.add("is_finite_whole", ops::is_finite(i));
  c.add("select", ops::select(above, x, y));
  c.add("cast_to_whole", ops::cast(x, DType::kInt64));
  c.add("cast_to_bool", ops::cast(i, DType::kBool));
  c.add("fill_like", ops::fill_like(x, 2.5));
  c.add("identity", ops::identity(x));
  c.add("stop_gradient", ops::stop_gradient(x));
  c.add("softmax", ops::softmax(x));
  c.add("log_softmax", ops::log_softmax(x));
  c.add("sigmoid_cross_entropy", ops::sigmoid_cross_entropy(x, ops::sigmoid(positive)));
}

void add_shapes(Cases& c) {
  const Value x = c.feed("s", DType::kFloat32, {-1, 3, 4}, -3, 3),
              row = c.feed("row", DType::kFloat32, {-1, 1, 4}, -3, 3);
  const Value i = c.feed("si", DType::kInt32, {-1, 3, 4}, -9, 9);
  for (const bool keep : {false, true}) {
    const std::string suffix = keep ? "_kept" : "";
    c.add("sum" + suffix, ops::sum(x, {1, -1}, keep));
    c.add("mean" + suffix, ops::mean(x, {1}, keep));
    c.add("max" + suffix, ops::max(x, {-1}, keep));
    c.add("min" + suffix, ops::min(i, {1}, keep));
    c.add("prod" + suffix, ops::prod(i, {1}, keep));
  }
  c.add("sum_of_batch", ops::sum(x, {0}));
  c.add("argmax", ops::argmax(x));
  c.add("argmin", ops::argmin(x, 1));
  c.add("sum_like", ops::sum_like(x, row));
  c.add("sum_like_average", ops::sum_like(x, row, true));
  c.add("cumsum", ops::cumsum(x, 1));
  c.add("cumsum_exclusive", ops::cumsum(i, -1, true, true));
  c.add("sort", ops::sort(x, -1));
  c.add("sort_descending", ops::sort(i, 1, true));
  c.add("argsort_whole", ops::argsort(i));
  c.add("top_k", ops::top_k(x, 2).indices);
  c.add("sort_batch", ops::sort(x, 0));
  c.add("reshape", ops::reshape(x, {-1, 2, 6}));
  c.add("reshape_like", ops::reshape_like(x, ops::transpose(x, {0, 2, 1})));
  c.add("flatten", ops::flatten(x));
  c.add("expand_dims", ops::expand_dims(x, {1, -1}));
  c.add("squeeze", ops::squeeze(row, {1}));
  c.add("transpose", ops::transpose(x, {2, 0, 1}));
  c.add("concat", ops::concat({x, row, x}, 1));
  c.add("slice", ops::slice(x, {0, 1, 2}, {-1, 2, 1}));
  c.add("slice_like", c.graph().add("SliceLike", {x, row}, {{"begin", Ints{0, 2, 0}}}).output());
  c.add("pad", ops::pad(x, {0, 1, 0}, {0, 0, 2}));
  c.add("broadcast_to", ops::broadcast_to(row, {2, -1, 3, 4}));
  c.add("broadcast_like", ops::broadcast_like(row, x));
  c.add("reverse_batch", ops::reverse(x, {0}));
}

void add_indexing(Cases& c) {
  const Value table = c.feed("table", DType::kFloat32, {-1, 5, 3}, -1, 1);
  const Value at = c.feed("at", DType::kInt32, {-1, 2}, 0, 3.99);
  const Value rows =
      ops::constant(c.graph(), Tensor::from<float>({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  c.add("gather", ops::gather(rows, at));
  c.add("embedding_lookup", ops::embedding_lookup(rows, ops::cast(at, DType::kInt64)));
  c.add("gather_axis", ops::gather(table, at, 1, 1));
  c.add("gather_axis_of_all", ops::gather(table, ops::reshape(at, {-1}), 1));
  c.add("gather_nd", ops::gather_nd(table, at));
  const Value ids = ops::reshape(ops::slice(at, {0, 0}, {-1, 1}), {-1});
  const Value flat = ops::reshape(table, {-1, 15});
  c.add("scatter_add", ops::segment_sum(flat, ids, 5));
  c.add("segment_max", ops::segment_max(flat, ids, 5));
  c.add("one_hot", ops::one_hot(ops::cast(at, DType::kInt64), 3));
  c.add("hash_bucket", ops::hash_bucket(at, 1000, 7));
}

void add_products(Cases& c) {
  const Value x = c.feed("a", DType::kFloat32, {-1, 3, 4}, -1, 1),
              y = c.feed("b", DType::kFloat32, {-1, 4, 5}, -1, 1),
              image = c.feed("image", DType::kFloat32, {-1, 7, 6, 4}, -1, 1);
  const auto numbers = [&](const Shape& shape) {
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 37 + 11) % 101) / 50 - 1;
    }
    return ops::constant(c.graph(), Tensor::from<float>(shape, values));
  };
  c.add("matmul_of_each", ops::matmul(x, y));
  c.add("matmul_transposed", ops::matmul(y, x, true, true));
  c.add("matmul_of_rows", ops::matmul(x, numbers({5, 4}), false, true));
  c.add("matmul", ops::matmul(ops::flatten(x), numbers({12, 3})));
  c.add("matmul_with_one", ops::matmul(numbers({3, 3}), x));
  c.add("bias_add", ops::bias_add(x, numbers({4})));
  c.add("pairwise_dots", ops::pairwise_dots(y));
  c.add("layer_norm", ops::layer_norm(x, numbers({4}), numbers({4}), 1e-3));
  const auto batch = ops::batch_norm(x, numbers({4}), numbers({4}), 1e-3);
  c.add("batch_norm", batch.y);
  c.add("batch_norm_variance", batch.variance);

  c.add("conv2d",
        ops::conv2d(image, numbers({3, 2, 4, 5}), {.stride_h = 2, .padding = ops::Padding::kSame}));
  c.add("conv2d_dilated",
        ops::conv2d(image, numbers({2, 2, 4, 3}), {.dilation_h = 2, .dilation_w = 3}));
  c.add("conv2d_groups", ops::conv2d(image, numbers({2, 2, 2, 6}), {.groups = 2}));
  c.add("conv2d_depthwise",
        ops::conv2d(image, numbers({3, 3, 1, 8}),
                    {.stride_h = 2, .stride_w = 2, .groups = 4, .padding = ops::Padding::kSame}));
  c.add("conv2d_depthwise_dilated",
        ops::conv2d(image, numbers({2, 3, 1, 4}), {.dilation_h = 3, .dilation_w = 2, .groups = 4}));
  c.add("conv2d_depthwise_uneven",
        ops::conv2d(image, numbers({2, 3, 1, 4}), {.stride_h = 1, .stride_w = 2, .groups = 4}));
  c.add("conv2d_transpose",
        ops::conv2d_transpose(image, numbers({3, 3, 5, 4}), 14, 12,
                              {.stride_h = 2, .stride_w = 2, .padding = ops::Padding::kSame}));
  c.add("conv2d_transpose_dilated",
        ops::conv2d_transpose(image, numbers({2, 2, 5, 4}), 9, 7, {.dilation_h = 2}));
  c.add("conv2d_transpose_groups",
        ops::conv2d_transpose(image, numbers({3, 3, 3, 4}), 9, 8, {.groups = 2}));
  c.add("max_pool2d", ops::max_pool2d(image, {.window_h = 3, .padding = ops::Padding::kSame}));
  c.add("avg_pool2d", ops::avg_pool2d(image, {.window_w = 3, .padding = ops::Padding::kSame}));
  const Value transforms = c.feed("transforms", DType::kFloat32, {-1, 6}, -0.9, 0.9);
  c.add("affine_bilinear", ops::affine_transform(image, transforms, 5, 6, {}));
  c.add("affine_reflected", ops::affine_transform(image, transforms, 7, 6,
                                                  {.interpolation = ops::Interpolation::kNearest,
                                                   .fill = ops::Fill::kReflect}));
}

void add_sequences(Cases& c) {
  const Value q = c.feed("q", DType::kFloat32, {-1, 5, 4, 6}, -1, 1),
              k = c.feed("k", DType::kFloat32, {-1, 7, 2, 6}, -1, 1),
              v = c.feed("v", DType::kFloat32, {-1, 7, 2, 3}, -1, 1);
  const Value seen = ops::cast(c.feed("seen", DType::kInt32, {-1, 7}, 0, 1.99), DType::kBool);
  // A query that sees no key gives zeros.
  const Value mask = ops::logical_and(
      ops::expand_dims(seen, {1, 2}),
      ops::greater(ops::slice(ops::reshape(q, {-1, 1, 5, 24}), {0, 0, 0, 0}, {-1, 1, 5, 1}),
                   ops::scalar(c.graph(), DType::kFloat32, -0.5)));
  c.add("attention", ops::attention(q, k, v).y);
  c.add("attention_masked", ops::attention(q, k, v, {.causal = true, .mask = mask}).y);
  c.add("attention_packed", ops::packed_attention(q, 1, {.causal = true, .scale = 0.7}).y);

  const Value x = c.feed("steps", DType::kFloat32, {-1, 6, 12}, -1, 1),
              state = c.feed("state", DType::kFloat32, {-1, 3}, -1, 1),
              cell = c.feed("cell", DType::kFloat32, {-1, 3}, -1, 1),
              wide = c.feed("gru_state", DType::kFloat32, {-1, 4}, -1, 1),
              is_there = ops::slice(seen, {0, 0}, {-1, 6}),
              many = c.feed("many_steps", DType::kFloat32, {-1, 150, 12}, -1, 1),
              long_mask =
                  ops::cast(c.feed("long_mask", DType::kInt32, {-1, 150}, 0, 1.99), DType::kBool);
  const auto kernel = [&](int64_t rows, int64_t columns) {
    std::vector<float> values(static_cast<size_t>(rows * columns));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 53 + 7) % 97) / 60 - 0.8F;
    }
    return ops::constant(c.graph(), Tensor::from<float>({rows, columns}, values));
  };
  const Value bias = ops::reshape(kernel(1, 12), {12});
  c.add("lstm", ops::lstm(x, kernel(3, 12)).h);
  const ops::RecurrentOptions all{.state = state, .cell = cell, .mask = is_there, .reverse = true};
  const auto masked = ops::lstm(x, kernel(3, 12), all);
  c.add("lstm_masked", masked.h);
  c.add("lstm_cell", masked.c);
  c.add("gru", ops::gru(x, kernel(4, 12), bias, true, {.mask = is_there}));
  c.add("gru_reset_before", ops::gru(x, kernel(4, 12), {}, false, {.state = wide}));
  c.add("simple_rnn", ops::simple_rnn(x, kernel(12, 12), "tanh", {.reverse = true}));
  c.add("simple_rnn_relu", ops::simple_rnn(x, kernel(12, 12), "relu"));
  c.add("lstm_loop", ops::lstm(many, kernel(3, 12),
                               {.state = state, .cell = cell, .mask = long_mask, .reverse = true})
                         .h);
  c.add("gru_loop", ops::gru(many, kernel(4, 12), {}, false));
  c.add("simple_rnn_loop", ops::simple_rnn(many, kernel(12, 12), "sigmoid", {.mask = long_mask}));
}

std::vector<std::pair<std::string, void (*)(Cases&)>> all_cases() {
  return {{"elementwise", add_elementwise},
          {"indexing", add_indexing},
          {"products", add_products},
          {"sequences", add_sequences},
          {"shapes", add_shapes}};
}

TEST(OpCasesTest, HasACaseOfEachOpThatTensorflowHas) {
  std::set<std::string> seen;
  for (const auto& [name, add] : all_cases()) {
    Cases cases;
    add(cases);
    seen.merge(cases.ops());
  }
  for (const OpTranslation& row : op_translations()) {
    EXPECT_TRUE(!row.tensorflow.is_there() || seen.contains(std::string(row.op))) << row.op;
  }
}

// The table must not only name ops but compute the same, with rows that see nothing, integers that
// are divided by 0 and steps that are not there.
TEST(OpCasesTest, ComputesInTensorflowWhatItComputesHere) {
  const trireme::testing::TemporaryDirectory directory;
  for (const auto& [name, add] : all_cases()) {
    Cases cases;
    add(cases);
    const std::filesystem::path folder = directory / name;
    std::filesystem::create_directories(folder);
    const InferenceGraph& graph = cases.inference_graph();
    write_graph_as_saved_model(graph, {}, "", name, (folder / "model").string());
    write_tensors(folder.string(), graph.input_names, cases.tensors(), graph.output_names,
                  cases.run());
  }
  judge(directory.path(), "load,v1");
}

}  // namespace
}  // namespace trireme::formats
