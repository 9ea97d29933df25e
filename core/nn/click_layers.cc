#include "core/nn/click_layers.h"

#include "core/base/error.h"
#include "core/nn/merge_layers.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

// The parts are ordinary layers, made for one call each: layers hold nothing between two passes.
template <typename L>
Value apply(BuildContext& context, typename L::Options options,
            std::initializer_list<Value> inputs) {
  L layer(std::move(options));
  return context.call(layer, std::span<const Value>(inputs.begin(), inputs.size()));
}

Value hidden_layers(BuildContext& context, std::string_view name, const HiddenUnits& units,
                    Value x) {
  for (size_t i = 0; i < units.size(); ++i) {
    x = apply<Dense>(
        context,
        {.units = units[i], .activation = Activation::kRelu, .name = str_cat(name, "_", i)}, {x});
  }
  return x;
}

Value to_one_logit(BuildContext& context, std::string_view name, const HiddenUnits& units,
                   Value x) {
  return apply<Dense>(context, {.units = 1, .name = "logit"},
                      {hidden_layers(context, name, units, x)});
}

// The numbers and the keys: both inputs, or the first and the data's second component.
std::pair<Value, Value> numbers_and_keys(BuildContext& context, std::span<const Value> inputs) {
  if (inputs.size() > 2) {
    throw invalid_argument("expected the numbers and the keys as inputs, found ", inputs.size());
  }
  const Value numbers = inputs[0];
  context.require(numbers.dtype() == DType::kFloat32 && numbers.shape().rank() == 2,
                  "numbers f32[batch, n]", "this layer is called on what the data give");
  return {numbers, inputs.size() == 2 ? inputs[1] : context.feature(1)};
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

}  // namespace

void DlrmOptions::describe(OptionVisitor& visitor) {
  describe_table(visitor, rows, dimension);
  describe_units(visitor, "bottom", "units of the hidden layers over the numbers", bottom);
  describe_units(visitor, "top", "units of the hidden layers over the products of pairs", top);
  visitor.group({.name = "table", .help = "which keys have a row on parameter servers"}, table);
}

Value Dlrm::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const auto [numbers, keys] = numbers_and_keys(context, inputs);
  const Value bottom = apply<Dense>(
      context,
      {.units = options_.dimension, .activation = Activation::kRelu, .name = "bottom_last"},
      {hidden_layers(context, "bottom", options_.bottom, numbers)});
  const Value rows = apply<Embedding>(context,
                                      {.rows = options_.rows,
                                       .dimension = options_.dimension,
                                       .table = options_.table,
                                       .name = "table"},
                                      {keys});
  const Value pairs = apply<DotInteraction>(context, {.name = "pairs"}, {bottom, rows});
  return to_one_logit(context, "top", options_.top,
                      apply<Concat>(context, {.name = "bottom_and_pairs"}, {bottom, pairs}));
}

void WideDeepOptions::describe(OptionVisitor& visitor) {
  describe_table(visitor, rows, dimension);
  describe_units(visitor, "deep", "units of the hidden layers", deep);
  visitor.group({.name = "table", .help = "which keys have a row on parameter servers"}, table);
}

Value WideDeep::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const auto [numbers, keys] = numbers_and_keys(context, inputs);
  const Value of_keys = apply<EmbeddingBag>(context,
                                            {.rows = options_.rows,
                                             .dimension = 1,
                                             .initializer = zeros(),
                                             .table = options_.table,
                                             .name = "wide"},
                                            {keys});
  const Value of_numbers =
      apply<Dense>(context, {.units = 1, .use_bias = false, .name = "wide_numbers"}, {numbers});
  const Value wide = apply<Add>(context, {.name = "wide_sum"}, {of_keys, of_numbers});
  const Value rows = apply<Embedding>(context,
                                      {.rows = options_.rows,
                                       .dimension = options_.dimension,
                                       .table = options_.table,
                                       .name = "table"},
                                      {keys});
  const Value flat = apply<Flatten>(context, {.name = "vectors"}, {rows});
  const Value deep =
      to_one_logit(context, "deep", options_.deep,
                   apply<Concat>(context, {.name = "numbers_and_vectors"}, {numbers, flat}));
  return apply<Add>(context, {.name = "sum"}, {wide, deep});
}

}  // namespace trireme::nn
