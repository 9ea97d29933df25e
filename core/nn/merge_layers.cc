#include "core/nn/merge_layers.h"

#include "core/base/error.h"
#include "core/ops/pairwise_dots.h"

namespace trireme::nn {
namespace {

void require_several(std::span<const Value> inputs) {
  if (inputs.size() >= 2) return;
  throw invalid_argument("expected at least two inputs, found ", inputs.size(),
                         "; name the layers that they come from: inputs: \"a\" inputs: \"b\"");
}

void require_alike(const BuildContext& context, std::span<const Value> inputs) {
  require_several(inputs);
  for (size_t i = 1; i < inputs.size(); ++i) {
    context.require(inputs[i].type() == inputs[0].type(),
                    str_cat("inputs of one type, the first being ", inputs[0].type()), "", i);
  }
}

}  // namespace

void ConcatOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "axis",
                 .help = "that grows; the batch is axis 0, and negative ones are from the last"},
                axis);
}

void ConcatOptions::check() const {
  if (axis == 0) throw invalid_argument("concat: axis: 0 is the batch; expected another");
}

Value Concat::call_inputs(BuildContext&, std::span<const Value> inputs) {
  require_several(inputs);
  const int rank = inputs[0].shape().rank();
  const int64_t axis = options_.axis < 0 ? options_.axis + rank : options_.axis;
  if (axis < 1 || axis >= rank) {
    throw invalid_argument("axis: expected an axis of ", inputs[0].type(),
                           " that is not the batch, found ", options_.axis);
  }
  return ops::concat({inputs.begin(), inputs.end()}, axis);
}

Value Add::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  require_alike(context, inputs);
  Value sum = inputs[0];
  for (const Value& input : inputs.subspan(1)) sum = sum + input;
  return sum;
}

Value Multiply::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  require_alike(context, inputs);
  Value product = inputs[0];
  for (const Value& input : inputs.subspan(1)) product = product * input;
  return product;
}

Value DotInteraction::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  std::vector<Value> vectors;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = inputs[i].shape();
    context.require(is_floating(inputs[i].dtype()) && (shape.rank() == 2 || shape.rank() == 3) &&
                        shape.dim(-1) > 0 && (shape.rank() == 2 || shape[1] > 0),
                    "vectors [batch, dim] or [batch, k, dim]", "", i);
    context.require(shape.dim(-1) == inputs[0].shape().dim(-1),
                    str_cat("vectors of ", inputs[0].shape().dim(-1), " numbers, as the first"), "",
                    i);
    vectors.push_back(shape.rank() == 2 ? ops::expand_dims(inputs[i], {1}) : inputs[i]);
  }
  const Value all = vectors.size() == 1 ? vectors[0] : ops::concat(vectors, 1);
  if (all.shape()[1] < 2) throw invalid_argument("expected at least two vectors an example");
  return ops::pairwise_dots(all);
}

Value EmbeddingBag::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() == 2, "indices [batch, n]");
  Value rows = embedding_rows(context, options_, x);
  if (options_.mask_zero) {
    const Value zero = ops::scalar(context.graph(), x.dtype(), 0);
    rows = rows * ops::cast(ops::expand_dims(ops::not_equal(x, zero), {2}), rows.dtype());
  }
  return ops::sum(rows, {1});
}

}  // namespace trireme::nn
