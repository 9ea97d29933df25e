// Batch normalisation in inference. Our graph has it as x·scale + shift, with scale and shift made
// of the four variables; ONNX has an op for it, which tools look for.
#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/onnx_writer.h"

namespace trireme::formats::to_onnx {
namespace {

struct Normalization {
  Value x, gamma, beta, mean, variance;  // gamma, beta: undefined for none
  double epsilon = 0;
};

bool is_op(Value value, std::string_view op) { return value.node->op().name == op; }

// 1/√(variance + epsilon), and gamma times it.
bool match_scale(const OnnxWriter& w, Value scale, Normalization& found) {
  if (is_op(scale, "Multiply")) {
    found.gamma = scale.node->input(0);
    scale = scale.node->input(1);
    if (w.weight_of(found.gamma) == nullptr) return false;
  }
  if (!is_op(scale, "Rsqrt") || !is_op(scale.node->input(0), "Add")) return false;
  const Node& sum = *scale.node->input(0).node;
  if (w.weight_of(sum.input(0)) == nullptr || !is_op(sum.input(1), "Constant")) return false;
  const Tensor& epsilon = sum.input(1).node->attribute<Tensor>("value");
  if (epsilon.elements() != 1) return false;
  found.variance = sum.input(0);
  found.epsilon = epsilon.as_double(0);
  return true;
}

// mean·scale, subtracted from beta.
bool match_shift(const OnnxWriter& w, Value shift, Value scale, Normalization& found) {
  if (is_op(shift, "Subtract")) {
    found.beta = shift.node->input(0);
    if (w.weight_of(found.beta) == nullptr) return false;
    shift = shift.node->input(1);
  } else if (is_op(shift, "Negate")) {
    shift = shift.node->input(0);
  } else {
    return false;
  }
  if (!is_op(shift, "Multiply") || shift.node->input(1) != scale) return false;
  found.mean = shift.node->input(0);
  return w.weight_of(found.mean) != nullptr;
}

std::optional<Normalization> match(const OnnxWriter& w, const Node& n) {
  const Value product = n.input(0), shift = n.input(1);
  const int rank = n.output_type().shape.rank();
  if (!is_op(product, "Multiply") || (rank != 2 && rank != 4)) return {};
  Normalization found;
  found.x = product.node->input(0);
  const Value scale = product.node->input(1);
  const Shape channels = n.output_type().shape.last(1);
  if (found.x.shape() != n.output_type().shape || scale.shape() != channels ||
      shift.shape() != channels || !match_scale(w, scale, found) ||
      !match_shift(w, shift, scale, found)) {
    return {};
  }
  return found;
}

std::string or_filled(OnnxWriter& w, Value value, Value like, double number) {
  if (value.defined()) return w.name(value);
  const auto count = like.shape().elements();
  return w.constant(Tensor::from<float>(
      {count}, std::vector<float>(static_cast<size_t>(count), static_cast<float>(number))));
}

}  // namespace

void add(OnnxWriter& w, const Node& n) {
  const auto found = match(w, n);
  if (!found || found->mean.dtype() != DType::kFloat32) {
    w.elementwise(n, [&](const Names& names) { return w.add("Add", names); });
    return;
  }
  const bool is_image = n.output_type().shape.rank() == 4;
  const std::string y =
      w.add("BatchNormalization",
            {is_image ? w.channels_first(found->x) : w.name(found->x),
             or_filled(w, found->gamma, found->mean, 1), or_filled(w, found->beta, found->mean, 0),
             w.name(found->mean), w.name(found->variance)},
            {{"epsilon", static_cast<float>(found->epsilon)}});
  is_image ? w.set_channels_first(output_of(n), y) : w.set(output_of(n), y);
}

}  // namespace trireme::formats::to_onnx
