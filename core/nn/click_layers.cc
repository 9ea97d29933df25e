#include "core/nn/click_layers.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

using DenseLayers = std::vector<std::unique_ptr<Dense>>;

DenseLayers hidden_layers(std::string_view name, const HiddenUnits& units) {
  DenseLayers layers;
  for (const int64_t n : units) {
    layers.push_back(std::make_unique<Dense>(DenseOptions{
        .units = n, .activation = Activation::kRelu, .name = str_cat(name, "_", layers.size())}));
  }
  return layers;
}

DenseLayers to_one_logit(std::string_view name, const HiddenUnits& units) {
  DenseLayers layers = hidden_layers(name, units);
  layers.push_back(std::make_unique<Dense>(DenseOptions{.units = 1, .name = "logit"}));
  return layers;
}

Value call_all(BuildContext& context, const DenseLayers& layers, Value x) {
  for (const auto& layer : layers) x = context.call(*layer, x);
  return x;
}

Value keys_of(BuildContext& context, Value numbers) {
  context.require(numbers.dtype() == DType::kFloat32 && numbers.shape().rank() == 2,
                  "numbers f32[batch, n]", "this layer is a model's first");
  return context.feature(1);
}

// [batch, n, dim] → [batch, n·(n − 1)/2]: the dot product of each pair of an example's vectors.
Value pairwise_dots(Value vectors) {
  const int64_t n = vectors.shape()[1];
  std::vector<int64_t> below_diagonal;
  for (int64_t row = 1; row < n; ++row) {
    for (int64_t column = 0; column < row; ++column) below_diagonal.push_back(row * n + column);
  }
  const auto pairs = static_cast<int64_t>(below_diagonal.size());
  const Value chosen =
      ops::constant(vectors.graph(), Tensor::from<int64_t>({pairs}, below_diagonal));
  const Value dots = ops::reshape(ops::matmul(vectors, vectors, false, true), {-1, n * n});
  return ops::transpose(ops::gather(ops::transpose(dots), chosen));
}

}  // namespace

Dlrm::Dlrm(Options options)
    : Layer(options.name),
      embedding_({.rows = options.rows, .dimension = options.dimension, .name = "table"}),
      bottom_(hidden_layers("bottom", options.bottom)),
      top_(to_one_logit("top", options.top)) {
  bottom_.push_back(std::make_unique<Dense>(DenseOptions{
      .units = options.dimension, .activation = Activation::kRelu, .name = "bottom_last"}));
}

Value Dlrm::call(BuildContext& context, Value x) {
  const Value keys = keys_of(context, x);
  const Value bottom = call_all(context, bottom_, x);
  const Value rows = context.call(embedding_, keys);
  const Value vectors = ops::concat({ops::expand_dims(bottom, {1}), rows}, 1);
  return call_all(context, top_, ops::concat({bottom, pairwise_dots(vectors)}, 1));
}

WideDeep::WideDeep(Options options)
    : Layer(options.name),
      wide_({.rows = options.rows, .dimension = 1, .initializer = zeros(), .name = "wide"}),
      embedding_({.rows = options.rows, .dimension = options.dimension, .name = "table"}),
      wide_numbers_({.units = 1, .use_bias = false, .name = "wide_numbers"}),
      deep_(to_one_logit("deep", options.deep)) {}

Value WideDeep::call(BuildContext& context, Value x) {
  const Value keys = keys_of(context, x);
  const Value wide = ops::sum(context.call(wide_, keys), {1}) + context.call(wide_numbers_, x);
  const Value rows = ops::flatten(context.call(embedding_, keys));
  return wide + call_all(context, deep_, ops::concat({x, rows}, 1));
}

}  // namespace trireme::nn
