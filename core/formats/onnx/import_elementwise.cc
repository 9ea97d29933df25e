// Elementwise ops of ONNX as ours.
//
// Values whose channels are last stay so: an elementwise op follows the form of its inputs.
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/elementwise_functions.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

using Kind = OnnxValue::Kind;

// Whether an input can stand beside one of rank 4 with channels last without a transpose of its
// own: a number, or one number a channel, [c, 1, 1] or [1, c, 1, 1]; or it is in that form already.
bool is_cheap(OnnxCall& call, int i) {
  if (call.is_channels_last(i)) return true;
  const Shape shape = call.type(i).shape;
  int64_t above_one = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] != 1 && axis != shape.rank() - 3) ++above_one;
  }
  return above_one == 0 && shape.rank() <= 4 && !call.input(i).is(Kind::kNumbers);
}

Value beside_channels_last(OnnxCall& call, int i) {
  if (call.is_channels_last(i)) return call.channels_last(i);
  const Value x = call.value(i);
  const Shape& shape = x.shape();
  if (shape.rank() < 3) return shape.rank() == 0 ? x : ops::reshape(x, {1});
  return ops::reshape(x, {shape[shape.rank() - 3]});
}

// Calls `build` on the inputs, all in one form.
template <typename Build>
OnnxResults elementwise(OnnxCall& call, const Build& build) {
  bool last = false, cheap = true;
  for (int i = 0; i < call.count(); ++i) {
    if (!call.has(i)) continue;
    last = last || call.is_channels_last(i);
    cheap = cheap && is_cheap(call, i);
  }
  const bool follow = last && cheap;
  std::vector<Value> values;
  for (int i = 0; i < call.count(); ++i) {
    if (!call.has(i)) {
      values.emplace_back();
    } else {
      values.push_back(follow ? beside_channels_last(call, i) : call.value(i));
    }
  }
  call.require(!values.empty() && values[0].defined(), "at least one input");
  const Value y = build(values);
  return {follow ? call.result_channels_last(y) : call.result(y)};
}

template <Value (*function)(Value)>
OnnxResults unary(OnnxCall& call) {
  return elementwise(call, [&](const std::vector<Value>& x) { return function(x[0]); });
}

// Two inputs, or any number of them one after the other.
template <Value (*function)(Value, Value)>
OnnxResults binary(OnnxCall& call) {
  return elementwise(call, [&](const std::vector<Value>& x) {
    Value y = x[0];
    for (size_t i = 1; i < x.size(); ++i) y = function(y, x[i]);
    return y;
  });
}

// --- sizes: numbers that may depend on the batch

std::optional<BatchNumber> combine(std::string_view op, BatchNumber a, BatchNumber b) {
  if (op == "Add") return BatchNumber{a.constant + b.constant, a.per_batch + b.per_batch};
  if (op == "Sub") return BatchNumber{a.constant - b.constant, a.per_batch - b.per_batch};
  if (op == "Mul" && b.per_batch != 0) std::swap(a, b);
  if (b.per_batch != 0) return {};
  BatchNumber y;
  if (op == "Mul") {
    if (__builtin_mul_overflow(a.constant, b.constant, &y.constant) ||
        __builtin_mul_overflow(a.per_batch, b.constant, &y.per_batch)) {
      return {};
    }
    return y;
  }
  if (op != "Div" || b.constant <= 0 || a.constant % b.constant != 0 ||
      a.per_batch % b.constant != 0) {
    return {};
  }
  return BatchNumber{a.constant / b.constant, a.per_batch / b.constant};
}

template <Value (*function)(Value, Value)>
OnnxResults arithmetic(OnnxCall& call) {
  call.require(call.count() == 2, "two inputs");
  const bool is_size = call.input(0).is(Kind::kNumbers) || call.input(1).is(Kind::kNumbers);
  const auto a = is_size ? numbers_of(call.input(0)) : std::nullopt;
  const auto b = is_size ? numbers_of(call.input(1)) : std::nullopt;
  if (a && b && (a->size() == b->size() || a->size() == 1 || b->size() == 1)) {
    std::vector<BatchNumber> made;
    for (size_t i = 0; i < std::max(a->size(), b->size()); ++i) {
      const auto number =
          combine(call.op(), (*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
      if (!number) return binary<function>(call);
      made.push_back(*number);
    }
    return {OnnxValue::of(std::move(made), call.rank(0) == 0 && call.rank(1) == 0)};
  }
  return binary<function>(call);
}

OnnxResults cast(OnnxCall& call) {
  const auto dtype = dtype_of_onnx(static_cast<int>(call.integer("to", 0)));
  call.require(dtype.has_value() && *dtype != DType::kString,
               str_cat("a type that Trireme has, not ",
                       onnx_dtype_name(static_cast<int>(call.integer("to", 0)))));
  if (call.input(0).is(Kind::kNumbers) && is_integer(*dtype)) return {call.input(0)};
  return elementwise(call, [&](const std::vector<Value>& x) { return ops::cast(x[0], *dtype); });
}

OnnxResults cast_like(OnnxCall& call) {
  const DType dtype = call.type(1).dtype;
  return {call.result(ops::cast(call.value(0), dtype))};
}

OnnxResults identity(OnnxCall& call) { return {call.input(0)}; }

// Of two: integers are divided towards zero, as we do. Of more numbers the mean.
OnnxResults mean_of(OnnxCall& call) {
  return elementwise(call, [&](const std::vector<Value>& x) {
    Value y = x[0];
    for (size_t i = 1; i < x.size(); ++i) y = y + x[i];
    return y * ops::fill_like(y, 1 / static_cast<double>(x.size()));
  });
}

OnnxResults mod(OnnxCall& call) {
  const bool as_c = call.integer("fmod", 0) != 0;
  return elementwise(call, [&](const std::vector<Value>& x) {
    if (!as_c) return ops::floor_mod(x[0], x[1]);
    // Of the sign of the first, as C has it.
    const Value rest = ops::floor_mod(ops::abs(x[0]), ops::abs(x[1]));
    return ops::select(ops::less(x[0], ops::fill_like(x[0], 0)), -rest, rest);
  });
}

OnnxResults power(OnnxCall& call) {
  return elementwise(call, [&](const std::vector<Value>& x) {
    return ops::power(x[0], ops::cast(x[1], x[0].dtype()));
  });
}

OnnxResults clip(OnnxCall& call) {
  const double infinity = std::numeric_limits<double>::infinity();
  if (call.opset() < 11) {
    const double low = call.number("min", -infinity), high = call.number("max", infinity);
    return elementwise(call,
                       [&](const std::vector<Value>& x) { return ops::clip(x[0], low, high); });
  }
  return elementwise(call, [&](const std::vector<Value>& x) {
    Value y = x[0];
    if (x.size() > 1 && x[1].defined()) y = ops::maximum(y, x[1]);
    if (x.size() > 2 && x[2].defined()) y = ops::minimum(y, x[2]);
    return y;
  });
}

// One with parameters as attributes.
template <typename Build>
OnnxResults with(OnnxCall& call, const Build& build) {
  return elementwise(call, [&](const std::vector<Value>& x) { return build(x[0]); });
}

OnnxResults leaky_relu(OnnxCall& call) {
  return with(call, [&](Value x) { return ops::leaky_relu(x, call.number("alpha", 0.01)); });
}
OnnxResults elu(OnnxCall& call) {
  return with(call, [&](Value x) { return ops::elu(x, call.number("alpha", 1)); });
}
OnnxResults celu(OnnxCall& call) {
  return with(call, [&](Value x) { return ops::celu(x, call.number("alpha", 1)); });
}
OnnxResults selu(OnnxCall& call) {
  const double alpha = call.number("alpha", 1.67326319217681884765625);
  const double gamma = call.number("gamma", 1.05070102214813232421875);
  return with(
      call, [&](Value x) { return ops::elu(x, alpha) * ops::scalar(x.graph(), x.dtype(), gamma); });
}
OnnxResults hard_sigmoid(OnnxCall& call) {
  const double alpha = call.number("alpha", 0.2), beta = call.number("beta", 0.5);
  return with(call, [&](Value x) {
    Graph& graph = x.graph();
    return ops::clip(x * ops::scalar(graph, x.dtype(), alpha) + ops::scalar(graph, x.dtype(), beta),
                     0, 1);
  });
}
OnnxResults gelu(OnnxCall& call) {
  const bool is_tanh = call.text("approximate", "none") == "tanh";
  return with(call, [&](Value x) { return is_tanh ? ops::gelu_tanh(x) : ops::gelu(x); });
}
OnnxResults thresholded_relu(OnnxCall& call) {
  const double alpha = call.number("alpha", 1);
  return with(call, [&](Value x) { return ops::threshold(x, alpha, 0); });
}
OnnxResults prelu(OnnxCall& call) {
  return elementwise(call, [](const std::vector<Value>& x) { return ops::leaky_relu(x[0], x[1]); });
}
OnnxResults where(OnnxCall& call) {
  if (call.input(0).is(Kind::kTensor) && !call.folds()) {
    // A choice between sizes, which exporters make of -1 in a shape.
    const auto a = numbers_of(call.input(1)), b = numbers_of(call.input(2));
    const Tensor& condition = call.tensor(0);
    if (a && b && a->size() == b->size() && condition.dtype() == DType::kBool &&
        static_cast<size_t>(condition.elements()) == a->size()) {
      std::vector<BatchNumber> made;
      for (size_t i = 0; i < a->size(); ++i)
        made.push_back(condition.flat<bool>()[i] ? (*a)[i] : (*b)[i]);
      return {OnnxValue::of(std::move(made), call.rank(1) == 0)};
    }
  }
  return elementwise(call,
                     [](const std::vector<Value>& x) { return ops::select(x[0], x[1], x[2]); });
}

// A size of the batch is none of the numbers that exporters compare sizes with, such as -1 and 0.
OnnxResults equal(OnnxCall& call) {
  if (call.input(0).is(Kind::kNumbers) || call.input(1).is(Kind::kNumbers)) {
    const auto a = numbers_of(call.input(0)), b = numbers_of(call.input(1));
    if (a && b && (a->size() == b->size() || b->size() == 1)) {
      std::vector<bool> flags;
      Tensor made(DType::kBool, {static_cast<int64_t>(a->size())});
      bool decided = true;
      for (size_t i = 0; i < a->size(); ++i) {
        const BatchNumber x = (*a)[i], y = (*b)[b->size() == 1 ? 0 : i];
        const bool is_size = x.per_batch > 0 && x.constant == 0;
        decided = decided && (x == y || (x.per_batch == 0 && y.per_batch == 0) ||
                              (is_size && y.per_batch == 0 && y.constant <= 0));
        made.flat<bool>()[i] = x == y;
      }
      if (decided) {
        return {OnnxValue::of(call.rank(0) == 0 ? made.reshaped({}) : made)};
      }
    }
  }
  return binary<ops::equal>(call);
}

OnnxResults is_inf(OnnxCall& call) {
  call.require(call.integer("detect_positive", 1) != 0 && call.integer("detect_negative", 1) != 0,
               "IsInf of both signs");
  return unary<ops::is_inf>(call);
}

constexpr OnnxImportRow kRows[] = {
    {"Add", arithmetic<ops::add>},
    {"Sub", arithmetic<ops::subtract>},
    {"Mul", arithmetic<ops::multiply>},
    {"Div", arithmetic<ops::divide>},
    {"Sum", binary<ops::add>},
    {"Max", binary<ops::maximum>},
    {"Min", binary<ops::minimum>},
    {"Mean", mean_of},
    {"Mod", mod},
    {"Pow", power},
    {"Neg", unary<ops::negate>},
    {"Abs", unary<ops::abs>},
    {"Sign", unary<ops::sign>},
    {"Floor", unary<ops::floor>},
    {"Ceil", unary<ops::ceil>},
    {"Round", unary<ops::round>},
    {"Exp", unary<ops::exp>},
    {"Log", unary<ops::log>},
    {"Sqrt", unary<ops::sqrt>},
    {"Reciprocal", unary<ops::reciprocal>},
    {"Tanh", unary<ops::tanh>},
    {"Sin", unary<ops::sin>},
    {"Cos", unary<ops::cos>},
    {"Tan", unary<ops::tan>},
    {"Asin", unary<ops::asin>},
    {"Acos", unary<ops::acos>},
    {"Atan", unary<ops::atan>},
    {"Sinh", unary<ops::sinh>},
    {"Cosh", unary<ops::cosh>},
    {"Asinh", unary<ops::asinh>},
    {"Acosh", unary<ops::acosh>},
    {"Atanh", unary<ops::atanh>},
    {"Sigmoid", unary<ops::sigmoid>},
    {"Softplus", unary<ops::softplus>},
    {"Softsign", unary<ops::softsign>},
    {"Erf", unary<ops::erf>},
    {"Relu", unary<ops::relu>},
    {"Mish", unary<ops::mish>},
    {"HardSwish", unary<ops::hard_silu>},
    {"LeakyRelu", leaky_relu},
    {"Elu", elu},
    {"Celu", celu},
    {"Selu", selu},
    {"HardSigmoid", hard_sigmoid},
    {"Gelu", gelu},
    {"ThresholdedRelu", thresholded_relu},
    {"PRelu", prelu},
    {"Clip", clip},
    {"Equal", equal},
    {"Less", binary<ops::less>},
    {"LessOrEqual", binary<ops::less_equal>},
    {"Greater", binary<ops::greater>},
    {"GreaterOrEqual", binary<ops::greater_equal>},
    {"And", binary<ops::logical_and>},
    {"Or", binary<ops::logical_or>},
    {"Xor", binary<ops::logical_xor>},
    {"Not", unary<ops::logical_not>},
    {"IsNaN", unary<ops::is_nan>},
    {"IsInf", is_inf},
    {"Where", where},
    {"Cast", cast},
    {"CastLike", cast_like},
    {"Identity", identity},
    {"Dropout", identity},
};

}  // namespace

std::span<const OnnxImportRow> onnx_elementwise_imports() { return kRows; }

}  // namespace trireme::formats
