// Products, convolutions, pooling, normalisation and attention in ONNX.
#include <algorithm>

#include "core/base/error.h"
#include "core/formats/translation/onnx_cells.h"
#include "core/formats/translation/onnx_writer.h"
#include "core/ops/ops.h"
#include "core/ops/window.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats::to_onnx {
namespace {

constexpr int64_t kFilterOrder[] = {3, 2, 0, 1};  // HWIO → OIHW

Tensor filter_first(const Tensor& filter) {
  const Shape& s = filter.shape();
  Tensor made(filter.dtype(), {s[3], s[2], s[0], s[1]});
  const size_t size = size_of(filter.dtype());
  const auto* from = static_cast<const char*>(filter.raw());
  auto* to = static_cast<char*>(made.raw());
  for (int64_t o = 0; o < s[3]; ++o) {
    for (int64_t i = 0; i < s[2]; ++i) {
      for (int64_t pixel = 0; pixel < s[0] * s[1]; ++pixel, to += size) {
        std::copy_n(from + static_cast<size_t>((pixel * s[2] + i) * s[3] + o) * size, size, to);
      }
    }
  }
  return made;
}

std::string filter_name(OnnxWriter& w, Value filter) {
  if (w.weight_of(filter) != nullptr) return w.weight(filter, "OIHW", filter_first);
  return w.transpose(w.name(filter), {std::begin(kFilterOrder), std::end(kFilterOrder)});
}

// The padding of windows over an image; where its size is not known, the rule by its name.
void add_padding(std::vector<OnnxAttribute>& attributes, const WindowAxis& h, const WindowAxis& w,
                 const std::string& padding) {
  if (padding == "VALID") return;
  if (h.output < 0 || w.output < 0) {
    attributes.push_back({"auto_pad", std::string("SAME_UPPER")});
    return;
  }
  attributes.push_back({"pads", Ints{h.before, w.before, h.after, w.after}});
}

}  // namespace

void matmul(OnnxWriter& w, const Node& n) {
  const auto operand = [&](int i, const char* flag) {
    const std::string name = w.name(n.input(i));
    if (!n.attribute<bool>(flag)) return name;
    const int rank = n.input(i).shape().rank();
    Ints permutation;
    for (int64_t axis = 0; axis < rank; ++axis) permutation.push_back(axis);
    std::swap(permutation[static_cast<size_t>(rank - 1)],
              permutation[static_cast<size_t>(rank - 2)]);
    return w.transpose(name, permutation);
  };
  const std::string a = operand(0, "transpose_a"), b = operand(1, "transpose_b");
  w.set(output_of(n), w.add("MatMul", {a, b}));
}

void conv2d(OnnxWriter& w, const Node& n) {
  const auto geometry = conv2d_geometry(n.input(0).shape(), n.input(1).shape(), n.attributes());
  std::vector<OnnxAttribute> attributes = {
      {"kernel_shape", Ints{geometry.h.window, geometry.w.window}},
      {"strides", n.attribute<Ints>("strides")},
      {"dilations", n.attribute<Ints>("dilations")},
      {"group", geometry.groups}};
  add_padding(attributes, geometry.h, geometry.w, n.attribute<std::string>("padding"));
  w.set_channels_first(
      output_of(n),
      w.add("Conv", {w.channels_first(n.input(0)), filter_name(w, n.input(1))}, attributes));
}

// By itself a transposed convolution: what ONNX adds at the end is what the windows do not reach.
void conv2d_transpose(OnnxWriter& w, const Node& n) {
  const Shape& image = n.output_type().shape;
  const auto geometry = conv2d_geometry(image, n.input(0).shape(), n.attributes());
  if (geometry.h.output < 0 || geometry.w.output < 0) {
    throw TranslationError(
        str_cat("it has no translation of a transposed convolution to an image of "
                "unknown size (node \"",
                n.name(), "\")"));
  }
  const auto left = [](const WindowAxis& axis) {
    const int64_t reach = (axis.output - 1) * axis.stride + (axis.window - 1) * axis.dilation + 1;
    return axis.input - (reach - axis.before - axis.after);
  };
  const WindowAxis &h = geometry.h, &v = geometry.w;
  w.set_channels_first(
      output_of(n),
      w.add("ConvTranspose", {w.channels_first(n.input(1)), filter_name(w, n.input(0))},
            {{"kernel_shape", Ints{h.window, v.window}},
             {"strides", n.attribute<Ints>("strides")},
             {"dilations", n.attribute<Ints>("dilations")},
             {"group", geometry.groups},
             {"pads", Ints{h.before, v.before, h.after, v.after}},
             {"output_padding", Ints{left(h), left(v)}}}));
}

void pool(OnnxWriter& w, const Node& n) {
  const bool is_max = n.op().name == "MaxPool2d";
  if (is_max && w.uses(output_of(n, 1)) > 0) {
    throw TranslationError(
        str_cat("it has no translation of the places of the largest numbers in "
                "windows (node \"",
                n.name(), "\"), of a gradient"));
  }
  const auto geometry = pool2d_geometry(n.input(0).shape(), n.attributes());
  std::vector<OnnxAttribute> attributes = {{"kernel_shape", n.attribute<Ints>("window")},
                                           {"strides", n.attribute<Ints>("strides")}};
  add_padding(attributes, geometry.h, geometry.w, n.attribute<std::string>("padding"));
  if (!is_max) attributes.push_back({"count_include_pad", int64_t{0}});
  w.set_channels_first(output_of(n), w.add(is_max ? "MaxPool" : "AveragePool",
                                           {w.channels_first(n.input(0))}, attributes));
}

void softmax(OnnxWriter& w, const Node& n) {
  w.set(output_of(n), w.add(n.op().name, {w.name(n.input(0))}, {{"axis", int64_t{-1}}}));
}

void layer_norm(OnnxWriter& w, const Node& n) {
  if (w.uses(output_of(n, 1)) + w.uses(output_of(n, 2)) > 0) {
    throw TranslationError(str_cat("it has no translation of the statistics of LayerNorm (node \"",
                                   n.name(), "\"), of a gradient"));
  }
  w.set(output_of(n),
        w.add("LayerNormalization", {w.name(n.input(0)), w.name(n.input(1)), w.name(n.input(2))},
              {{"axis", int64_t{-1}},
               {"epsilon", static_cast<float>(n.attribute<double>("epsilon"))}}));
}

namespace {

// q, k and v with the axes that attention() below multiplies: [batch, heads, length, d], and with
// groups of heads [batch, kv_heads, group or 1, length, d].
class Heads {
 public:
  Heads(OnnxWriter& writer, int64_t heads, int64_t kv_heads)
      : w_(writer), kv_heads_(kv_heads), group_(heads / kv_heads) {}

  std::string query(const std::string& q, int64_t length, int64_t d) const {
    if (group_ == 1) return w_.transpose(q, {0, 2, 1, 3});
    return w_.transpose(w_.add("Reshape", {q, w_.ints({-1, length, kv_heads_, group_, d})}),
                        {0, 2, 3, 1, 4});
  }
  std::string key(const std::string& k) const { return with_group(w_.transpose(k, {0, 2, 3, 1})); }
  std::string value(const std::string& v) const {
    return with_group(w_.transpose(v, {0, 2, 1, 3}));
  }
  // [batch or 1, heads or 1, …] of a mask.
  std::string mask(const std::string& mask, const Shape& shape) const {
    if (group_ == 1) return mask;
    if (shape[1] == 1) return w_.add("Unsqueeze", {mask, w_.ints({1})});
    return w_.add("Reshape", {mask, w_.ints({-1, kv_heads_, group_, shape[2], shape[3]})});
  }
  std::string by_positions(const std::string& y, int64_t length, int64_t e) const {
    if (group_ == 1) return w_.transpose(y, {0, 2, 1, 3});
    return w_.add("Reshape",
                  {w_.transpose(y, {0, 3, 1, 2, 4}), w_.ints({-1, length, kv_heads_ * group_, e})});
  }

 private:
  std::string with_group(const std::string& x) const {
    return group_ == 1 ? x : w_.add("Unsqueeze", {x, w_.ints({2})});
  }

  OnnxWriter& w_;
  int64_t kv_heads_, group_;
};

// Which keys a query sees: the triangle of a causal attention and the mask; empty: all.
std::string seen_keys(OnnxWriter& w, const Node& n, const Heads& heads, int mask, int64_t q_len,
                      int64_t k_len) {
  std::string seen;
  if (n.attribute<bool>("causal")) {
    Tensor triangle = Tensor::zeros(DType::kBool, {q_len, k_len});
    for (int64_t i = 0; i < q_len; ++i) {
      std::fill_n(triangle.flat<bool>().data() + i * k_len, std::min(i + 1, k_len), true);
    }
    seen = w.constant(triangle);
  }
  if (mask < 0) return seen;
  const std::string given = heads.mask(w.name(n.input(mask)), n.input(mask).shape());
  return seen.empty() ? given : w.add("And", {seen, given});
}

}  // namespace

void attention(OnnxWriter& w, const Node& n) {
  if (w.uses(output_of(n, 1)) > 0) {
    throw TranslationError(str_cat("it has no translation of the sums of Attention (node \"",
                                   n.name(), "\"), of a gradient"));
  }
  const int64_t packed_heads = n.attribute<int64_t>("kv_heads");
  const bool packed = packed_heads > 0;
  const int operands = packed ? 1 : 3;
  const bool has_mask = static_cast<int>(n.inputs().size()) > operands;
  const Shape &y = n.output_type().shape, &keys = n.input(packed ? 0 : 1).shape();
  const int64_t q_len = n.input(0).shape()[1], k_len = keys[1], heads_count = y[2];
  const int64_t kv_heads = packed ? packed_heads : keys[2], d = keys[3];
  if (q_len < 0 || k_len < 0) {
    throw TranslationError(
        str_cat("it has no translation of attention over sequences of unknown length "
                "(node \"",
                n.name(), "\")"));
  }
  Names x;
  if (packed) {
    x = w.add_all("Split", {w.name(n.input(0)), w.ints({heads_count, kv_heads, kv_heads})}, 3,
                  {{"axis", int64_t{2}}});
  } else {
    x = {w.name(n.input(0)), w.name(n.input(1)), w.name(n.input(2))};
  }
  const Heads heads(w, heads_count, kv_heads);
  const DType dtype = n.output_type().dtype;
  const std::string products = w.add("MatMul", {heads.query(x[0], q_len, d), heads.key(x[1])});
  std::string scores = w.add("Mul", {products, w.scalar(dtype, n.attribute<double>("scale"))});
  const std::string seen = seen_keys(w, n, heads, has_mask ? operands : -1, q_len, k_len);
  if (!seen.empty()) scores = w.add("Where", {seen, scores, w.scalar(dtype, -1e9)});
  std::string shares = w.add("Softmax", {scores}, {{"axis", int64_t{-1}}});
  // A query that sees no key gets zeros, not the mean of all values.
  if (has_mask) shares = w.add("Where", {seen, shares, w.scalar(dtype, 0)});
  w.set(output_of(n),
        heads.by_positions(w.add("MatMul", {shares, heads.value(x[2])}), q_len, y[3]));
}

}  // namespace trireme::formats::to_onnx
