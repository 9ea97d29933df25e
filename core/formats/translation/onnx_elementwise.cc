// Elementwise ops in ONNX. Those that ONNX lacks are composed of those that it has.
#include <cmath>

#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/onnx_writer.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats::to_onnx {
namespace {

// Expressions over names, as the rows below read.
class Terms {
 public:
  Terms(OnnxWriter& writer, const Node& node) : writer_(writer), dtype_(node.input(0).dtype()) {}

  std::string operator()(std::string_view op, const Names& inputs) const {
    return writer_.add(op, inputs);
  }
  std::string number(double value) const { return writer_.scalar(dtype_, value); }
  std::string plus(const std::string& a, double b) const { return (*this)("Add", {a, number(b)}); }
  std::string times(const std::string& a, double b) const { return (*this)("Mul", {a, number(b)}); }
  DType dtype() const { return dtype_; }

 private:
  OnnxWriter& writer_;
  DType dtype_;
};

std::string cast_to(OnnxWriter& w, const std::string& x, DType dtype) {
  return w.add("Cast", {x}, {{"to", int64_t{onnx_dtype(dtype)}}});
}

// Comparisons of truth values, which ONNX has for Equal only: as numbers.
template <typename Emit>
std::string compare(OnnxWriter& w, const Node& n, const Names& x, const Emit& emit) {
  if (n.input(0).dtype() != DType::kBool) return emit(x);
  return emit(Names{cast_to(w, x[0], DType::kInt32), cast_to(w, x[1], DType::kInt32)});
}

// The number that is the same in all elements of an input; nothing: they differ.
std::optional<double> uniform(const Node& n, int input) {
  const Node& from = *n.input(input).node;
  if (from.op().name == "FillLike") return from.attribute<double>("value");
  if (from.op().name != "Constant") return {};
  const Tensor& value = from.attribute<Tensor>("value");
  return value.elements() == 1 ? std::optional(value.as_double(0)) : std::nullopt;
}

std::string cast(OnnxWriter& w, const Node& n, const Names& x) {
  return cast_to(w, x[0], n.output_type().dtype);
}
std::string square(OnnxWriter& w, const Node&, const Names& x) {
  return w.add("Mul", {x[0], x[0]});
}
std::string expm1(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  return t.plus(t("Exp", x), -1);
}
std::string log1p(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  return t("Log", {t.plus(x[0], 1)});
}
std::string log2(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  return t.times(t("Log", x), 1 / std::log(2.0));
}
std::string log10(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  return t.times(t("Log", x), 1 / std::log(10.0));
}
std::string rsqrt(OnnxWriter& w, const Node&, const Names& x) {
  return w.add("Reciprocal", {w.add("Sqrt", x)});
}
// Of floats: a − b·⌊a/b⌋ would lose digits, so the remainder of C is made that of the divisor's
// sign.
std::string floor_mod(OnnxWriter& w, const Node& n, const Names& x) {
  if (is_integer(n.input(0).dtype())) return w.add("Mod", x, {{"fmod", int64_t{0}}});
  const Terms t(w, n);
  const std::string r = w.add("Mod", x, {{"fmod", int64_t{1}}}), zero = t.number(0);
  const std::string other_sign = t("Xor", {t("Less", {r, zero}), t("Less", {x[1], zero})});
  const std::string wrong = t("And", {t("Not", {t("Equal", {r, zero})}), other_sign});
  return t("Where", {wrong, t("Add", {r, x[1]}), r});
}
std::string floor_divide(OnnxWriter& w, const Node& n, const Names& x) {
  const std::string r = floor_mod(w, n, x);
  return w.add("Div", {w.add("Sub", {x[0], r}), x[1]});
}
std::string leaky_relu(OnnxWriter& w, const Node& n, const Names& x) {
  if (const auto slope = uniform(n, 1)) {
    return w.add("LeakyRelu", {x[0]}, {{"alpha", static_cast<float>(*slope)}});
  }
  const Terms t(w, n);
  return t("Where", {t("Less", {x[0], t.number(0)}), t("Mul", x), x[0]});
}
std::string elu(OnnxWriter& w, const Node& n, const Names& x) {
  if (const auto alpha = uniform(n, 1)) {
    return w.add("Elu", {x[0]}, {{"alpha", static_cast<float>(*alpha)}});
  }
  const Terms t(w, n);
  const std::string below = t("Mul", {x[1], t.plus(t("Exp", {x[0]}), -1)});
  return t("Where", {t("Less", {x[0], t.number(0)}), below, x[0]});
}
std::string gelu(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  const std::string phi = t.plus(t("Erf", {t.times(x[0], std::sqrt(0.5))}), 1);
  return t("Mul", {t.times(x[0], 0.5), phi});
}
std::string gelu_tanh(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  const std::string square = t("Mul", {x[0], x[0]});
  const std::string factor = t.plus(t.times(square, 0.07135481627159837), 1.5957691216057308);
  return t("Mul", {x[0], t("Sigmoid", {t("Mul", {x[0], factor})})});
}
std::string silu(OnnxWriter& w, const Node&, const Names& x) {
  return w.add("Mul", {x[0], w.add("Sigmoid", x)});
}
std::string not_equal(OnnxWriter& w, const Node&, const Names& x) {
  return w.add("Not", {w.add("Equal", x)});
}
std::string less(OnnxWriter& w, const Node& n, const Names& x) {
  return compare(w, n, x, [&](const Names& y) { return w.add("Less", y); });
}
std::string less_equal(OnnxWriter& w, const Node& n, const Names& x) {
  return compare(w, n, x, [&](const Names& y) { return w.add("LessOrEqual", y); });
}
std::string greater(OnnxWriter& w, const Node& n, const Names& x) {
  return compare(w, n, x, [&](const Names& y) { return w.add("Greater", y); });
}
std::string greater_equal(OnnxWriter& w, const Node& n, const Names& x) {
  return compare(w, n, x, [&](const Names& y) { return w.add("GreaterOrEqual", y); });
}
std::string is_finite(OnnxWriter& w, const Node& n, const Names& x) {
  if (!is_floating(n.input(0).dtype())) return w.add("Equal", {x[0], x[0]});
  return w.add("Not", {w.add("Or", {w.add("IsNaN", x), w.add("IsInf", x)})});
}
// atan(a/b) is right where b > 0; elsewhere half a turn is missing.
std::string atan2(OnnxWriter& w, const Node& n, const Names& x) {
  const Terms t(w, n);
  const std::string zero = t.number(0);
  const std::string half = t("Where", {t("Less", {x[0], zero}), t.number(-M_PI), t.number(M_PI)});
  const std::string angle = t("Atan", {t("Div", x)});
  const std::string left = t("Where", {t("Less", {x[1], zero}), t("Add", {angle, half}), angle});
  // On the axis the quotient is no number where both are 0.
  const std::string upright = t.times(t("Sign", {x[0]}), M_PI / 2);
  return t("Where", {t("Equal", {x[1], zero}), upright, left});
}

template <std::string (*compose)(OnnxWriter&, const Node&, const Names&)>
void composed(OnnxWriter& w, const Node& n) {
  w.elementwise(n, [&](const Names& names) { return compose(w, n, names); });
}

}  // namespace

// A bias lies along the last axis. That of a convolution is an input of its node.
void bias_add(OnnxWriter& w, const Node& n) {
  const Value x = n.input(0), bias = n.input(1);
  if (w.is_channels_first(x) && w.uses(x) == 1 && w.weight_of(bias) != nullptr) {
    const std::string before = w.channels_first(x), b = w.name(bias);
    onnx::NodeProto* const conv = w.producer(before);
    if (conv != nullptr && conv->op_type() == "Conv" && conv->input_size() == 2) {
      conv->add_input(b);
      w.set_channels_first(output_of(n), before);
      return;
    }
  }
  w.elementwise(n, [&](const Names& names) { return w.add("Add", names); });
}

void identity(OnnxWriter& w, const Node& n) {
  if (w.is_channels_first(n.input(0))) {
    w.set_channels_first(output_of(n), w.channels_first(n.input(0)));
  } else {
    w.set(output_of(n), w.name(n.input(0)));
  }
}

void floor_divide(OnnxWriter& w, const Node& n) { composed<floor_divide>(w, n); }
void floor_mod(OnnxWriter& w, const Node& n) { composed<floor_mod>(w, n); }
void atan2(OnnxWriter& w, const Node& n) { composed<atan2>(w, n); }
void square(OnnxWriter& w, const Node& n) { composed<square>(w, n); }
void expm1(OnnxWriter& w, const Node& n) { composed<expm1>(w, n); }
void log1p(OnnxWriter& w, const Node& n) { composed<log1p>(w, n); }
void log2(OnnxWriter& w, const Node& n) { composed<log2>(w, n); }
void log10(OnnxWriter& w, const Node& n) { composed<log10>(w, n); }
void rsqrt(OnnxWriter& w, const Node& n) { composed<rsqrt>(w, n); }
void leaky_relu(OnnxWriter& w, const Node& n) { composed<leaky_relu>(w, n); }
void elu(OnnxWriter& w, const Node& n) { composed<elu>(w, n); }
void gelu(OnnxWriter& w, const Node& n) { composed<gelu>(w, n); }
void gelu_tanh(OnnxWriter& w, const Node& n) { composed<gelu_tanh>(w, n); }
void silu(OnnxWriter& w, const Node& n) { composed<silu>(w, n); }
void not_equal(OnnxWriter& w, const Node& n) { composed<not_equal>(w, n); }
void less(OnnxWriter& w, const Node& n) { composed<less>(w, n); }
void less_equal(OnnxWriter& w, const Node& n) { composed<less_equal>(w, n); }
void greater(OnnxWriter& w, const Node& n) { composed<greater>(w, n); }
void greater_equal(OnnxWriter& w, const Node& n) { composed<greater_equal>(w, n); }
void is_finite(OnnxWriter& w, const Node& n) { composed<is_finite>(w, n); }
void cast(OnnxWriter& w, const Node& n) { composed<cast>(w, n); }

}  // namespace trireme::formats::to_onnx
