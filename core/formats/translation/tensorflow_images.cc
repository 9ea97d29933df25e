// Convolution and pooling, which have TensorFlow's layout (NHWC, HWIO) and its padding.
#include "core/formats/translation/tensorflow_cells.h"

namespace trireme::formats::to_tensorflow {
namespace {

// [h, w] as TensorFlow has it, for each axis.
std::vector<int64_t> of_axes(const Ints& hw) { return {1, hw[0], hw[1], 1}; }

TensorflowValues parts_of(TensorflowWriter& w, const TensorflowValue& x, int64_t axis,
                          int64_t count) {
  return w.add_all("Split", {w.number(axis), x}, {{"num_split", count}});
}

TensorflowValue joined(TensorflowWriter& w, TensorflowValues parts) {
  parts.push_back(w.number(3));
  return w.add("ConcatV2", parts);
}

// A filter [h, w, in, out] with dilation − 1 zeros between its elements: what it computes without
// dilation is what the other computes with it.
TensorflowValue spread(TensorflowWriter& w, TensorflowValue filter, const Shape& shape,
                       const Ints& dilations) {
  const int64_t depth = shape[2] * shape[3];
  const auto between = [&](const TensorflowValue& x, int64_t rows, int64_t width, int64_t zeros) {
    const Tensor paddings =
        Tensor::from<int32_t>({3, 2}, {0, 0, 0, static_cast<int32_t>(zeros), 0, 0});
    return w.add("Pad", {w.reshape(x, {rows, 1, width}), w.constant(paddings)});
  };
  const int64_t height = (shape[0] - 1) * dilations[0] + 1,
                width = (shape[1] - 1) * dilations[1] + 1;
  filter = between(filter, shape[0], shape[1] * depth, dilations[0] - 1);
  filter =
      w.slice(w.reshape(filter, {shape[0] * dilations[0], shape[1] * depth}), {0, 0}, {height, -1});
  filter = between(filter, height * shape[1], depth, dilations[1] - 1);
  filter = w.slice(w.reshape(filter, {height, shape[1] * dilations[1], shape[2], shape[3]}),
                   {0, 0, 0, 0}, {-1, width, -1, -1});
  return filter;
}

bool is_dilated(const Ints& dilations) { return dilations[0] > 1 || dilations[1] > 1; }

TensorflowAttributes window_attributes(const Node& node) {
  return {{"strides", of_axes(node.attribute<Ints>("strides"))},
          {"padding", node.attribute<std::string>("padding")},
          {"data_format", std::string("NHWC")}};
}

void pool(TensorflowWriter& w, const Node& node, std::string_view op) {
  TensorflowAttributes attributes = window_attributes(node);
  attributes.emplace_back("ksize", of_axes(node.attribute<Ints>("window")));
  w.set(node, w.add(op, {w.input(node, 0)}, attributes));
}

}  // namespace

void conv2d(TensorflowWriter& w, const Node& node) {
  const TensorflowValue x = w.input(node, 0), filter = w.input(node, 1);
  const int64_t groups = node.attribute<int64_t>("groups"), in = node.input(0).shape()[3];
  const Ints &strides = node.attribute<Ints>("strides"),
             &dilations = node.attribute<Ints>("dilations");
  const Shape& shape = node.input(1).shape();
  TensorflowAttributes attributes = window_attributes(node);
  if (groups == in && groups > 1 && strides[0] == strides[1] && shape.is_known()) {
    // [h, w, 1, in·m] is [h, w, in, m].
    TensorflowValue by_channel = filter;
    if (is_dilated(dilations)) by_channel = spread(w, filter, shape, dilations);
    const int64_t height = (shape[0] - 1) * dilations[0] + 1,
                  width = (shape[1] - 1) * dilations[1] + 1;
    by_channel = w.reshape(by_channel, {height, width, in, shape[3] / in});
    attributes.emplace_back("dilations", std::vector<int64_t>{1, 1, 1, 1});
    return w.set(node, w.add("DepthwiseConv2dNative", {x, by_channel}, attributes));
  }
  attributes.emplace_back("dilations", of_axes(dilations));
  if (groups == 1) return w.set(node, w.add("Conv2D", {x, filter}, attributes));
  const TensorflowValues images = parts_of(w, x, 3, groups),
                         filters = parts_of(w, filter, 3, groups);
  TensorflowValues parts;
  for (size_t i = 0; i < images.size(); ++i) {
    parts.push_back(w.add("Conv2D", {images[i], filters[i]}, attributes));
  }
  w.set(node, joined(w, std::move(parts)));
}

void conv2d_backward_input(TensorflowWriter& w, const Node& node) {
  const Shape &image = node.output_type().shape, &shape = node.input(0).shape();
  const int64_t groups = node.attribute<int64_t>("groups");
  const Ints& dilations = node.attribute<Ints>("dilations");
  if (!image.last(3).is_known()) throw TranslationError("an image whose size is not known");
  TensorflowValue filter = w.input(node, 0);
  if (is_dilated(dilations)) filter = spread(w, filter, shape, dilations);
  // The batch is that of the gradient; each group has its part of the channels.
  Shape part = image;
  part.set(3, image[3] / groups);
  const TensorflowValue sizes = w.sizes(part, node.input(1));
  TensorflowAttributes attributes = window_attributes(node);
  attributes.emplace_back("dilations", std::vector<int64_t>{1, 1, 1, 1});
  const auto one = [&](const TensorflowValue& of_filter, const TensorflowValue& grad) {
    return w.add("Conv2DBackpropInput", {sizes, of_filter, grad}, attributes);
  };
  const TensorflowValue grad = w.input(node, 1);
  if (groups == 1) return w.set(node, one(filter, grad));
  const TensorflowValues filters = parts_of(w, filter, 3, groups),
                         grads = parts_of(w, grad, 3, groups);
  TensorflowValues parts;
  for (size_t i = 0; i < grads.size(); ++i) parts.push_back(one(filters[i], grads[i]));
  w.set(node, joined(w, std::move(parts)));
}

void max_pool2d(TensorflowWriter& w, const Node& node) { pool(w, node, "MaxPool"); }
void avg_pool2d(TensorflowWriter& w, const Node& node) { pool(w, node, "AvgPool"); }

void affine_transform(TensorflowWriter& w, const Node& node) {
  // TensorFlow's are projective: two more numbers, which are 0.
  const Tensor paddings = Tensor::from<int32_t>({2, 2}, {0, 0, 0, 2});
  const TensorflowValue transforms = w.add("Pad", {w.input(node, 1), w.constant(paddings)});
  const auto fill = static_cast<float>(node.attribute<double>("fill_value"));
  w.set(node, w.add("ImageProjectiveTransformV3",
                    {w.input(node, 0), transforms, w.numbers(node.attribute<Ints>("size")),
                     w.constant(Tensor::scalar(fill))},
                    {{"interpolation", node.attribute<std::string>("interpolation")},
                     {"fill_mode", node.attribute<std::string>("fill")}}));
}

}  // namespace trireme::formats::to_tensorflow
