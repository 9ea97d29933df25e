#include "core/nn/operation_layers.h"

#include <functional>

#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/ops/ops.h"
#include "core/ops/sorting.h"

namespace trireme::nn {
namespace {

using Op = Operation;

constexpr EnumName<Op> kNames[] = {
    {Op::kSum, "SUM"},
    {Op::kMean, "MEAN"},
    {Op::kMax, "MAX"},
    {Op::kMin, "MIN"},
    {Op::kProduct, "PRODUCT"},
    {Op::kCumsum, "CUMSUM"},
    {Op::kAdd, "ADD"},
    {Op::kSubtract, "SUBTRACT"},
    {Op::kMultiply, "MULTIPLY"},
    {Op::kDivide, "DIVIDE"},
    {Op::kMaximum, "MAXIMUM"},
    {Op::kMinimum, "MINIMUM"},
    {Op::kPower, "POWER"},
    {Op::kEqual, "EQUAL"},
    {Op::kNotEqual, "NOT_EQUAL"},
    {Op::kGreater, "GREATER"},
    {Op::kLess, "LESS"},
    {Op::kMatmul, "MATMUL"},
    {Op::kAbs, "ABS"},
    {Op::kSquare, "SQUARE"},
    {Op::kSqrt, "SQRT"},
    {Op::kExp, "EXP"},
    {Op::kLog, "LOG"},
    {Op::kOnesLike, "ONES_LIKE"},
    {Op::kZerosLike, "ZEROS_LIKE"},
    {Op::kFloat, "FLOAT"},
    {Op::kInt, "INT"},
    {Op::kExpandDims, "EXPAND_DIMS"},
    {Op::kSqueeze, "SQUEEZE"},
};

bool is_binary(Op op) { return op >= Op::kAdd && op <= Op::kMatmul; }

Value along_axes(const OperationOptions& o, Value x) {
  std::vector<int64_t> axes = o.axes;
  for (int64_t axis = 1; o.axes.empty() && axis < x.shape().rank(); ++axis) axes.push_back(axis);
  switch (o.function) {
    case Op::kSum:
      return ops::sum(x, axes, o.keep_dims);
    case Op::kMean:
      return ops::mean(x, axes, o.keep_dims);
    case Op::kMax:
      return ops::max(x, axes, o.keep_dims);
    case Op::kMin:
      return ops::min(x, axes, o.keep_dims);
    case Op::kProduct:
      return ops::prod(x, axes, o.keep_dims);
    case Op::kCumsum:
      return ops::cumsum(x, axes.front());
    case Op::kExpandDims:
      return ops::expand_dims(x, o.axes);
    default:
      return ops::squeeze(x, o.axes);
  }
}

Value of_two(Op op, Value a, Value b) {
  switch (op) {
    case Op::kAdd:
      return a + b;
    case Op::kSubtract:
      return a - b;
    case Op::kMultiply:
      return a * b;
    case Op::kDivide:
      return a / b;
    case Op::kMaximum:
      return ops::maximum(a, b);
    case Op::kMinimum:
      return ops::minimum(a, b);
    case Op::kPower:
      return ops::power(a, b);
    case Op::kEqual:
      return ops::equal(a, b);
    case Op::kNotEqual:
      return ops::not_equal(a, b);
    case Op::kGreater:
      return ops::greater(a, b);
    case Op::kLess:
      return ops::less(a, b);
    default:
      return ops::matmul(a, b);
  }
}

Value of_one(Op op, Value x) {
  switch (op) {
    case Op::kAbs:
      return ops::abs(x);
    case Op::kSquare:
      return ops::square(x);
    case Op::kSqrt:
      return ops::sqrt(x);
    case Op::kExp:
      return ops::exp(x);
    case Op::kLog:
      return ops::log(x);
    case Op::kOnesLike:
      return ops::ones_like(x);
    case Op::kZerosLike:
      return ops::zeros_like(x);
    case Op::kFloat:
      return ops::cast(x, DType::kFloat32);
    default:
      return ops::cast(x, DType::kInt32);
  }
}

}  // namespace

void OperationOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "function", .help = "what is computed"}, function, kNames);
  visitor.field({.name = "axes",
                 .help = "of sums and the like, the batch being 0; negative: from the last",
                 .default_text = "all of an example"},
                axes);
  visitor.field({.name = "keep_dims", .help = "axes that are summed over stay, of size 1"},
                keep_dims);
  visitor.field({.name = "value",
                 .help = "a number in place of the second input",
                 .default_text = "there are two inputs"},
                value);
  visitor.field({.name = "value_first", .help = "that number stands before the input"},
                value_first);
}

void OperationOptions::check() const {
  const bool needs_axes = function == Op::kExpandDims || function == Op::kSqueeze;
  if (needs_axes && axes.empty()) {
    throw invalid_argument(
        "operation: axes: expected those of EXPAND_DIMS and SQUEEZE, found none");
  }
  if (function == Op::kCumsum && axes.size() != 1) {
    throw invalid_argument("operation: axes: expected one for CUMSUM, found ", axes.size());
  }
  if (value && (!is_binary(function) || function == Op::kMatmul)) {
    throw invalid_argument("operation: value: expected a function of two numbers to take it");
  }
}

Value OperationLayer::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const OperationOptions& o = options_;
  const size_t wanted = is_binary(o.function) && !o.value ? 2 : 1;
  if (inputs.size() != wanted) {
    throw invalid_argument("expected ", wanted, " inputs, found ", inputs.size());
  }
  const Value x = inputs[0];
  if (is_binary(o.function)) {
    const Value other = o.value ? ops::scalar(context.graph(), x.dtype(), *o.value) : inputs[1];
    context.require(o.function != Op::kDivide || is_floating(x.dtype()), "floating-point numbers");
    return o.value_first ? of_two(o.function, other, x) : of_two(o.function, x, other);
  }
  const bool has_axes = o.function <= Op::kCumsum || o.function >= Op::kExpandDims;
  return has_axes ? along_axes(o, x) : of_one(o.function, x);
}

}  // namespace trireme::nn
