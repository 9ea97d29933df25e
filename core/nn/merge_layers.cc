#include "core/nn/merge_layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/pairwise_dots.h"

namespace trireme::nn {
namespace {

void require_several(std::span<const Value> inputs) {
  if (inputs.size() >= 2) return;
  throw invalid_argument("expected at least two inputs, found ", inputs.size(),
                         "; name the layers that they come from: inputs: \"a\" inputs: \"b\"");
}

// Whether shapes broadcast as in NumPy; an unknown size is that of the batch.
bool broadcasts(const Shape& a, const Shape& b) {
  for (int i = 1; i <= std::min(a.rank(), b.rank()); ++i) {
    if (a.dim(-i) != b.dim(-i) && a.dim(-i) != 1 && b.dim(-i) != 1) return false;
  }
  return true;
}

// What `merge` makes of the first two, of that and the third, and so on.
template <typename Merge>
Value merged(const BuildContext& context, std::span<const Value> inputs, Merge merge) {
  require_several(inputs);
  Value all = inputs[0];
  for (size_t i = 1; i < inputs.size(); ++i) {
    context.require(inputs[i].dtype() == all.dtype() && broadcasts(inputs[i].shape(), all.shape()),
                    str_cat("inputs of one type, the first being ", inputs[0].type()), "", i);
    all = merge(all, inputs[i]);
  }
  return all;
}

// The dot product's operand: its axis `axis` last, the others of an example in one.
Value as_rows(Value x, int64_t axis) {
  const int rank = x.shape().rank();
  ops::Axes order = {0};
  int64_t others = 1;
  for (int i = 1; i < rank; ++i) {
    if (i == axis) continue;
    order.push_back(i);
    others *= x.shape()[i];
  }
  order.push_back(axis);
  const int64_t length = x.shape()[static_cast<int>(axis)];
  return ops::reshape(axis == rank - 1 ? x : ops::transpose(x, order), {-1, others, length});
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
  return merged(context, inputs, ops::add);
}

Value Subtract::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  if (inputs.size() > 2) throw invalid_argument("expected two inputs, found ", inputs.size());
  return merged(context, inputs, ops::subtract);
}

Value Multiply::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  return merged(context, inputs, ops::multiply);
}

Value Average::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  context.require(is_floating(inputs[0].dtype()), "floating-point numbers");
  const Value sum = merged(context, inputs, ops::add);
  return sum * ops::cast(ops::scalar(context.graph(), DType::kFloat32,
                                     1.0 / static_cast<double>(inputs.size())),
                         sum.dtype());
}

Value Maximum::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  return merged(context, inputs, ops::maximum);
}

Value Minimum::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  return merged(context, inputs, ops::minimum);
}

void DotOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "axes",
                 .help = "along which the products are summed: one for both inputs, or one for "
                         "each; the batch is axis 0, and negative ones are from the last"},
                axes);
  visitor.field({.name = "normalize", .help = "brings the vectors to length 1 first: cosines"},
                normalize);
}

void DotOptions::check() const {
  const bool has_batch = std::ranges::count(axes, 0) > 0;
  if (!has_batch && (axes.size() == 1 || axes.size() == 2)) return;
  throw invalid_argument("dot: axes: expected one axis or two, none of them the batch, found ",
                         Shape(axes));
}

Value Dot::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  if (inputs.size() != 2) throw invalid_argument("expected two inputs, found ", inputs.size());
  Value rows[2];
  Shape result{-1};
  for (size_t i = 0; i < 2; ++i) {
    const Shape& shape = inputs[i].shape();
    const int64_t given = options_.axes[options_.axes.size() == 1 ? 0 : i];
    const int64_t axis = given < 0 ? given + shape.rank() : given;
    context.require(is_floating(inputs[i].dtype()) && axis >= 1 && axis < shape.rank(),
                    str_cat("numbers with an axis ", given, " that is not the batch"), "", i);
    for (int j = 1; j < shape.rank(); ++j) {
      context.require(shape[j] > 0, "an input whose sizes are known but for the batch", "", i);
      if (j != axis) result.push_back(shape[j]);
    }
    rows[i] = as_rows(inputs[i], axis);
    context.require(rows[i].shape()[2] == rows[0].shape()[2],
                    str_cat("vectors of ", rows[0].shape()[2], " numbers, as the first input's"),
                    "", i);
    if (options_.normalize) {
      const Value length = ops::sum(ops::square(rows[i]), {2}, true);
      const Value least = ops::scalar(context.graph(), length.dtype(), 1e-24);
      rows[i] = rows[i] * ops::rsqrt(ops::maximum(length, least));
    }
  }
  if (result.rank() == 1) result.push_back(1);
  return ops::reshape(ops::matmul(rows[0], rows[1], false, true), result);
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
