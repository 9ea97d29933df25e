// Convolution, pooling, normalisation and resizing of images.
#include <algorithm>

#include "core/base/error.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/images.h"
#include "core/ops/ops.h"
#include "core/ops/rules.h"

namespace trireme::formats {
namespace {

// The two spatial numbers of a list of four, in the order of the data format.
std::pair<int64_t, int64_t> spatial(const ImportCall& c, const std::vector<int64_t>& four,
                                    bool channels_first, std::string_view what) {
  if (four.empty()) return {1, 1};
  c.require(four.size() == 4, str_cat("four numbers as ", what));
  const size_t h = channels_first ? 2 : 1;
  c.require(four[0] == 1 && four[channels_first ? 1 : 3] == 1,
            str_cat(what, " of 1 along batch and channels"));
  c.require(four[h] >= 1 && four[h + 1] >= 1 && four[h] <= 1 << 20 && four[h + 1] <= 1 << 20,
            str_cat(what, " from 1"));
  return {four[h], four[h + 1]};
}

Value to_last(Value x) { return ops::transpose(x, {0, 2, 3, 1}); }
Value to_first(Value x) { return ops::transpose(x, {0, 3, 1, 2}); }

// An op on images, whose channels come last for `apply`.
class ImageCall {
 public:
  explicit ImageCall(ImportCall& c) : c_(c) {
    const std::string format = c.text("data_format", "NHWC");
    c.require(format == "NHWC" || format == "NCHW", "the data format NHWC or NCHW");
    channels_first_ = format == "NCHW";
  }
  bool channels_first() const { return channels_first_; }
  Value image(int i) {
    const Value x = c_.value(i);
    c_.require(x.shape().rank() == 4, "images of four dimensions");
    return channels_first_ ? to_last(x) : x;
  }
  Value give(Value y) const { return channels_first_ ? to_first(y) : y; }
  // Pads by hand where the node says how much.
  Value padded(Value x, ops::Padding& padding) {
    const std::string text = c_.text("padding");
    c_.require(text == "SAME" || text == "VALID" || text == "EXPLICIT", "SAME, VALID or EXPLICIT");
    padding = text == "SAME" ? ops::Padding::kSame : ops::Padding::kValid;
    if (text != "EXPLICIT") return x;
    const std::vector<int64_t> pads = c_.integers("explicit_paddings");
    c_.require(pads.size() == 8 && std::ranges::all_of(pads, [](int64_t p) { return p >= 0; }),
               "eight numbers as explicit_paddings");
    const size_t h = channels_first_ ? 4 : 2;
    return ops::pad(x, {0, pads[h], pads[h + 2], 0}, {0, pads[h + 1], pads[h + 3], 0});
  }
  std::pair<int64_t, int64_t> pair(const std::string& name) const {
    return spatial(c_, c_.integers(name), channels_first_, name);
  }

 private:
  ImportCall& c_;
  bool channels_first_ = false;
};

ops::Conv2dOptions convolution_options(const ImageCall& image) {
  ops::Conv2dOptions options;
  std::tie(options.stride_h, options.stride_w) = image.pair("strides");
  std::tie(options.dilation_h, options.dilation_w) = image.pair("dilations");
  return options;
}

ImportValues import_conv2d(ImportCall& c) {
  ImageCall image(c);
  ops::Conv2dOptions options = convolution_options(image);
  const Value x = image.padded(image.image(0), options.padding);
  Value filter = c.value(1);
  const Shape shape = filter.shape();
  c.require(shape.rank() == 4 && shape.is_known() && shape[2] > 0, "a filter of four dimensions");
  if (c.op() == "DepthwiseConv2dNative") {
    options.groups = shape[2];
    filter = ops::reshape(filter, {shape[0], shape[1], 1, shape[2] * shape[3]});
  } else {
    const int64_t channels = x.shape()[3];
    c.require(channels > 0 && channels % shape[2] == 0,
              str_cat("channels that the filter's ", shape[2], " divide"));
    options.groups = channels / shape[2];
  }
  return c.results({image.give(ops::conv2d(x, filter, options))});
}

ImportValues import_conv2d_transpose(ImportCall& c) {
  ImageCall image(c);
  ops::Conv2dOptions options = convolution_options(image);
  const Value grad = image.padded(image.image(2), options.padding);
  c.require(c.text("padding") != "EXPLICIT", "the padding SAME or VALID");
  const std::vector<BatchNumber> sizes = c.sizes(0);
  c.require(sizes.size() == 4, "four sizes");
  const size_t h = image.channels_first() ? 2 : 1;
  c.require(sizes[h].is_constant() && sizes[h + 1].is_constant(), "a known height and width");
  const Value filter = c.value(1);
  c.require(filter.shape().rank() == 4 && sizes[image.channels_first() ? 1 : 3].is_constant() &&
                sizes[image.channels_first() ? 1 : 3].constant == filter.shape()[2],
            "as many channels as the filter gives");
  return c.results({image.give(
      ops::conv2d_transpose(grad, filter, sizes[h].constant, sizes[h + 1].constant, options))});
}

ImportValues import_pool(ImportCall& c) {
  ImageCall image(c);
  ops::Pool2dOptions options;
  std::tie(options.window_h, options.window_w) = image.pair("ksize");
  std::tie(options.stride_h, options.stride_w) = image.pair("strides");
  c.require(c.text("padding") != "EXPLICIT", "the padding SAME or VALID");
  const Value x = image.padded(image.image(0), options.padding);
  return c.results({image.give(c.op() == "MaxPool" ? ops::max_pool2d(x, options)
                                                   : ops::avg_pool2d(x, options))});
}

// With stored statistics it is arithmetic; with those of the batch, of all axes but the channels.
ImportValues import_batch_norm(ImportCall& c) {
  const Value x = c.value(0), scale = c.value(1), offset = c.value(2);
  const std::string format = c.text("data_format", "NHWC");
  const int rank = x.shape().rank();
  c.require(rank >= 2 && scale.shape().rank() == 1, "channels of a scale and an offset");
  const bool channels_first = format.starts_with("NC");
  const double epsilon = c.number("epsilon", 0.0001F);
  // A vector of channels as what broadcasts to x.
  const auto of_channels = [&](Value vector) {
    if (!channels_first) return vector;
    ops::Axes axes{0};
    for (int i = 2; i < rank; ++i) axes.push_back(i);
    return ops::expand_dims(vector, axes);
  };
  ops::Axes axes;
  for (int i = 0; i < rank; ++i) {
    if (i != (channels_first ? 1 : rank - 1)) axes.push_back(i);
  }
  const bool is_training = c.flag("is_training", true);
  Value mean, variance;
  if (is_training) {
    mean = ops::mean(x, axes);
    variance = ops::mean(ops::square(x - of_channels(mean)), axes);
  } else {
    mean = c.value(3);
    variance = c.value(4);
  }
  const Value factor = scale * ops::rsqrt(variance + ops::constant_like(variance, epsilon));
  const Value y = (x - of_channels(mean)) * of_channels(factor) + of_channels(offset);
  ImportValues made{c.result(y)};
  // The other outputs are for updates and gradients; those of the batch are not the ones that
  // TensorFlow would give, whose variance is divided by one less.
  if (is_training) {
    made.resize(6);
  } else {
    made.push_back(c.result(mean));
    made.push_back(c.result(variance));
    made.resize(6);
  }
  return made;
}

// Pairs of whole numbers for each axis of a block: [axes, 2].
std::vector<int64_t> block_pairs(const ImportCall& c, int i, size_t axes) {
  const Tensor& pairs = c.tensor(i);
  c.require(pairs.shape() == Shape{static_cast<int64_t>(axes), 2} && is_integer(pairs.dtype()),
            "two numbers for each axis of the block");
  std::vector<int64_t> numbers;
  for (int64_t k = 0; k < pairs.elements(); ++k) {
    numbers.push_back(static_cast<int64_t>(pairs.as_double(k)));
    c.require(numbers.back() >= 0, "numbers of at least 0");
  }
  return numbers;
}

// A block of each image becomes images of its own, in front of the batch, and back: what dilated
// convolutions of Keras 2 are made of.
ImportValues import_blocks(ImportCall& c) {
  const bool to_batch = c.op() == "SpaceToBatchND";
  const std::vector<int64_t> block = c.ints(1);
  const size_t axes = block.size();
  c.require(axes >= 1 && axes <= 2 &&
                std::ranges::all_of(block, [](int64_t b) { return b >= 1 && b <= 1 << 16; }),
            "a block of one or two axes");
  const std::vector<int64_t> pairs = block_pairs(c, 2, axes);
  Value x = c.value(0);
  const auto rank = static_cast<size_t>(x.shape().rank());
  c.require(rank > axes, "an input of more axes than the block");
  int64_t all = 1;
  for (const int64_t size : block) all *= size;
  const int64_t before_batch = c.input(0).is(ImportValue::Kind::kGraph) ? c.input(0).per_batch : 1;
  ops::Axes order;
  Shape parts, joined;
  if (to_batch) {
    std::vector<int64_t> before(rank, 0), after(rank, 0);
    for (size_t i = 0; i < axes; ++i) {
      before[i + 1] = pairs[2 * i];
      after[i + 1] = pairs[2 * i + 1];
    }
    x = ops::pad(x, before, after);
    parts.push_back(x.shape()[0]);
    for (size_t i = 0; i < axes; ++i) {
      const int64_t size = x.shape()[static_cast<int>(i) + 1];
      c.require(size > 0 && size % block[i] == 0, "sizes that the block divides");
      parts.push_back(size / block[i]);
      parts.push_back(block[i]);
      order.push_back(static_cast<int64_t>(2 * i + 2));
    }
    order.push_back(0);
    joined.push_back(x.shape()[0] < 0 ? -1 : x.shape()[0] * all);
    for (size_t i = 0; i < axes; ++i) {
      order.push_back(static_cast<int64_t>(2 * i + 1));
      joined.push_back(parts[static_cast<int>(2 * i) + 1]);
    }
  } else {
    for (const int64_t size : block) parts.push_back(size);
    c.require(x.shape()[0] < 0 ? before_batch % all == 0 : x.shape()[0] % all == 0,
              "a batch that the block divides");
    parts.push_back(x.shape()[0] < 0 ? -1 : x.shape()[0] / all);
    order.push_back(static_cast<int64_t>(axes));
    joined.push_back(parts[static_cast<int>(axes)]);
    for (size_t i = 0; i < axes; ++i) {
      const int64_t size = x.shape()[static_cast<int>(i) + 1];
      parts.push_back(size);
      order.push_back(static_cast<int64_t>(axes + 1 + i));
      order.push_back(static_cast<int64_t>(i));
      joined.push_back(size * block[i]);
    }
  }
  for (size_t i = axes + 1; i < rank; ++i) {
    order.push_back(parts.rank());
    parts.push_back(x.shape()[static_cast<int>(i)]);
    joined.push_back(x.shape()[static_cast<int>(i)]);
  }
  Value y = ops::reshape(ops::transpose(ops::reshape(x, parts), order), joined);
  if (!to_batch) {
    std::vector<int64_t> first(rank, 0), sizes(rank, -1);
    for (size_t i = 0; i < axes; ++i) {
      first[i + 1] = pairs[2 * i];
      sizes[i + 1] = joined[static_cast<int>(i) + 1] - pairs[2 * i] - pairs[2 * i + 1];
      c.require(sizes[i + 1] >= 0, "crops that are not wider than the image");
    }
    y = ops::slice(y, first, sizes);
  }
  return {c.result(y, to_batch ? before_batch * all : std::max<int64_t>(before_batch / all, 1))};
}

ImportValues import_resize(ImportCall& c) {
  c.require(c.flag("half_pixel_centers") && !c.flag("align_corners"),
            "half_pixel_centers and no align_corners, as Keras has it");
  const std::vector<int64_t> size = c.ints(1);
  c.require(size.size() == 2 && size[0] <= 1 << 16 && size[1] <= 1 << 16, "a height and a width");
  Value x = c.value(0);
  if (c.op() == "ResizeBilinear") x = ops::cast(x, DType::kFloat32);
  return c.results({ops::resize2d(
      x, size[0], size[1],
      c.op() == "ResizeBilinear" ? ops::Interpolation::kBilinear : ops::Interpolation::kNearest)});
}

}  // namespace

void add_image_imports(ImportTable& table) {
  table.add({"Conv2D", "DepthwiseConv2dNative"}, {import_conv2d});
  table.add({"Conv2DBackpropInput"}, {import_conv2d_transpose});
  table.add({"MaxPool", "AvgPool"}, {import_pool});
  table.add({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"},
            {import_batch_norm,
             {"y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2",
              "reserve_space_3"}});
  table.add({"SpaceToBatchND", "BatchToSpaceND"}, {import_blocks});
  table.add({"ResizeBilinear", "ResizeNearestNeighbor"}, {import_resize});
}

}  // namespace trireme::formats
