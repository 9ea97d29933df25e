#include "core/nn/click_layers.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// Layers hold nothing between two passes: these are made for one call each.
Value dense(BuildContext& context, DenseOptions options, Value x) {
  Dense layer(std::move(options));
  return context.call(layer, x);
}

Value hidden_layers(BuildContext& context, std::string_view name, const HiddenUnits& units,
                    Value x) {
  for (size_t i = 0; i < units.size(); ++i) {
    x = dense(context,
              {.units = units[i], .activation = Activation::kRelu, .name = str_cat(name, "_", i)},
              x);
  }
  return x;
}

Value to_one_logit(BuildContext& context, std::string_view name, const HiddenUnits& units,
                   Value x) {
  return dense(context, {.units = 1, .name = "logit"}, hidden_layers(context, name, units, x));
}

Value embedding(BuildContext& context, EmbeddingOptions options, Value keys) {
  Embedding layer(std::move(options));
  return context.call(layer, keys);
}

void describe_table(OptionVisitor& visitor, int64_t& rows, int64_t& dimension) {
  visitor.field({.name = "keys",
                 .help = "rows of the table of keys",
                 .range = at_least(1),
                 .default_text = "must be given"},
                rows);
  visitor.field({.name = "dimension", .help = "numbers of a key's vector", .range = at_least(1)},
                dimension);
}

void describe_units(OptionVisitor& visitor, std::string_view name, std::string_view help,
                    HiddenUnits& units) {
  visitor.field({.name = name, .help = help, .range = at_least(1)}, units);
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

void DlrmOptions::describe(OptionVisitor& visitor) {
  describe_table(visitor, rows, dimension);
  describe_units(visitor, "bottom", "units of the hidden layers over the numbers", bottom);
  describe_units(visitor, "top", "units of the hidden layers over the products of pairs", top);
  visitor.group({.name = "table", .help = "which keys have a row on parameter servers"}, table);
}

Value Dlrm::call(BuildContext& context, Value x) {
  const Value keys = keys_of(context, x);
  const Value bottom =
      dense(context,
            {.units = options_.dimension, .activation = Activation::kRelu, .name = "bottom_last"},
            hidden_layers(context, "bottom", options_.bottom, x));
  const Value rows = embedding(context,
                               {.rows = options_.rows,
                                .dimension = options_.dimension,
                                .table = options_.table,
                                .name = "table"},
                               keys);
  const Value vectors = ops::concat({ops::expand_dims(bottom, {1}), rows}, 1);
  return to_one_logit(context, "top", options_.top,
                      ops::concat({bottom, pairwise_dots(vectors)}, 1));
}

void WideDeepOptions::describe(OptionVisitor& visitor) {
  describe_table(visitor, rows, dimension);
  describe_units(visitor, "deep", "units of the hidden layers", deep);
  visitor.group({.name = "table", .help = "which keys have a row on parameter servers"}, table);
}

Value WideDeep::call(BuildContext& context, Value x) {
  const Value keys = keys_of(context, x);
  // One after the other: variables are made in this order.
  const Value weights = ops::sum(embedding(context,
                                           {.rows = options_.rows,
                                            .dimension = 1,
                                            .initializer = zeros(),
                                            .table = options_.table,
                                            .name = "wide"},
                                           keys),
                                 {1});
  const Value wide =
      weights + dense(context, {.units = 1, .use_bias = false, .name = "wide_numbers"}, x);
  const Value rows = ops::flatten(embedding(context,
                                            {.rows = options_.rows,
                                             .dimension = options_.dimension,
                                             .table = options_.table,
                                             .name = "table"},
                                            keys));
  return wide + to_one_logit(context, "deep", options_.deep, ops::concat({x, rows}, 1));
}

}  // namespace trireme::nn
