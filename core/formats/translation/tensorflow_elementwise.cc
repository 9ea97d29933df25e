// Elementwise ops that TensorFlow composes of others.
#include <cmath>
#include <numbers>
#include <optional>

#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

TensorflowValue operator_of(TensorflowWriter& w, std::string_view op, const TensorflowValue& a,
                            const TensorflowValue& b) {
  return w.add(op, {a, b});
}

bool is_whole(Value value) { return !is_floating(value.dtype()); }

// The number that every element of a constant is.
std::optional<double> number_of(Value value) {
  if (value.node->op().name == "FillLike") return value.node->attribute<double>("value");
  if (value.node->op().traits.source != Source::kConstant) return std::nullopt;
  const Tensor& tensor = value.node->attribute<Tensor>("value");
  if (tensor.elements() != 1 || tensor.dtype() == DType::kString) return std::nullopt;
  return tensor.as_double(0);
}

// a OP b of whole numbers, and 0 where b is 0.
void guarded(TensorflowWriter& w, const Node& node, std::string_view op) {
  const TensorflowValue a = w.input(node, 0), b = w.input(node, 1);
  const TensorflowValue zero = w.scalar(b.type, 0), one = w.scalar(b.type, 1);
  const TensorflowValue is_zero = w.add("Equal", {b, zero});
  const TensorflowValue quotient = w.add(op, {a, w.add("SelectV2", {is_zero, one, b})});
  w.set(node, w.add("SelectV2", {is_zero, zero, quotient}));
}

// f(x)·factor
void scaled(TensorflowWriter& w, const Node& node, std::string_view op, double factor) {
  const TensorflowValue y = w.add(op, {w.input(node, 0)});
  w.set(node, w.add("Mul", {y, w.scalar(y.type, factor)}));
}

// Where x ≥ 0 x, else what `below` is.
void above_zero(TensorflowWriter& w, const Node& node, const TensorflowValue& below) {
  const TensorflowValue x = w.input(node, 0);
  const TensorflowValue is_below = w.add("Less", {x, w.scalar(x.type, 0)});
  w.set(node, w.add("SelectV2", {is_below, below, x}));
}

// Of whole numbers, of which TensorFlow does not ask.
bool set_for_whole(TensorflowWriter& w, const Node& node, bool result) {
  if (!is_whole(node.input(0))) return false;
  const TensorflowValue x = w.input(node, 0);
  w.set(node, w.add(result ? "Equal" : "NotEqual", {x, x}));
  return true;
}

}  // namespace

void identity(TensorflowWriter& w, const Node& node) { w.set(node, w.input(node, 0)); }

void divide(TensorflowWriter& w, const Node& node) {
  if (is_whole(node.input(0))) return guarded(w, node, "TruncateDiv");
  w.set(node, operator_of(w, "RealDiv", w.input(node, 0), w.input(node, 1)));
}

void floor_divide(TensorflowWriter& w, const Node& node) {
  if (is_whole(node.input(0))) return guarded(w, node, "FloorDiv");
  w.set(node, operator_of(w, "FloorDiv", w.input(node, 0), w.input(node, 1)));
}

void floor_mod(TensorflowWriter& w, const Node& node) {
  if (is_whole(node.input(0))) return guarded(w, node, "FloorMod");
  w.set(node, operator_of(w, "FloorMod", w.input(node, 0), w.input(node, 1)));
}

void power(TensorflowWriter& w, const Node& node) {
  const auto exponent = number_of(node.input(1));
  if (is_whole(node.input(0)) && !(exponent && *exponent >= 0)) {
    throw TranslationError("TensorFlow has powers of whole numbers for exponents of at least 0");
  }
  w.set(node, operator_of(w, "Pow", w.input(node, 0), w.input(node, 1)));
}

void log2(TensorflowWriter& w, const Node& node) { scaled(w, node, "Log", std::numbers::log2e); }
void log10(TensorflowWriter& w, const Node& node) { scaled(w, node, "Log", std::numbers::log10e); }

void leaky_relu(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0);
  if (const auto slope = number_of(node.input(1))) {
    w.set(node, w.add("LeakyRelu", {x}, {{"alpha", static_cast<float>(*slope)}}));
    return;
  }
  above_zero(w, node, w.add("Mul", {x, w.input(node, 1)}));
}

void elu(TensorflowWriter& w, const Node& node) {
  const TensorflowValue y = w.add("Elu", {w.input(node, 0)});
  if (number_of(node.input(1)) == 1.0) return w.set(node, y);
  above_zero(w, node, w.add("Mul", {y, w.input(node, 1)}));
}

// x/2 · (1 + erf(x/√2))
void gelu(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0);
  const auto number = [&](double value) { return w.scalar(x.type, value); };
  const TensorflowValue erf = w.add("Erf", {w.add("RealDiv", {x, number(std::numbers::sqrt2)})});
  w.set(node, w.add("Mul", {w.add("Mul", {number(0.5), x}), w.add("AddV2", {number(1), erf})}));
}

// x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))
void gelu_tanh(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0);
  const auto number = [&](double value) { return w.scalar(x.type, value); };
  const TensorflowValue cube = w.add("Pow", {x, number(3)});
  const TensorflowValue sum = w.add("AddV2", {x, w.add("Mul", {number(0.044715), cube})});
  const TensorflowValue tanh = w.add("Tanh", {w.add("Mul", {number(0.7978845608028654), sum})});
  w.set(node, w.add("Mul", {w.add("Mul", {number(0.5), x}), w.add("AddV2", {number(1), tanh})}));
}

void silu(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0);
  w.set(node, w.add("Mul", {x, w.add("Sigmoid", {x})}));
}

void logical_xor(TensorflowWriter& w, const Node& node) {
  w.set(node, operator_of(w, "NotEqual", w.input(node, 0), w.input(node, 1)));
}

void is_finite(TensorflowWriter& w, const Node& node) {
  if (set_for_whole(w, node, true)) return;
  w.set(node, w.add("IsFinite", {w.input(node, 0)}));
}

void is_nan(TensorflowWriter& w, const Node& node) {
  if (set_for_whole(w, node, false)) return;
  w.set(node, w.add("IsNan", {w.input(node, 0)}));
}

void is_inf(TensorflowWriter& w, const Node& node) {
  if (set_for_whole(w, node, false)) return;
  w.set(node, w.add("IsInf", {w.input(node, 0)}));
}

void cast(TensorflowWriter& w, const Node& node) {
  w.set(node, w.cast(w.input(node, 0), tensorflow_type(node.attribute<DType>("dtype"))));
}

void fill_like(TensorflowWriter& w, const Node& node) {
  w.set(node, w.filled(node.input(0), node.attribute<double>("value")));
}

// max(x, 0) − x·z + log(1 + e^−|x|)
void sigmoid_cross_entropy(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0), z = w.input(node, 1);
  const TensorflowValue size = w.add("Softplus", {w.add("Neg", {w.add("Abs", {x})})});
  const TensorflowValue rest = w.add("Sub", {w.add("Relu", {x}), w.add("Mul", {x, z})});
  w.set(node, w.add("AddV2", {rest, size}));
}

}  // namespace trireme::formats::to_tensorflow
