#include "core/ops/window.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme {
namespace {

// Bounds every size that an attribute may name, so that no product below overflows.
constexpr int64_t kMaxSize = int64_t{1} << 24;

const Ints& pair(const Attributes& attributes, std::string_view name) {
  const Ints& sizes = attributes.get<Ints>(name);
  if (sizes.size() != 2) throw invalid_argument(name, " must be two numbers [height, width]");
  for (int64_t size : sizes) {
    if (size < 1 || size > kMaxSize) {
      throw invalid_argument(name, " must lie in 1…", kMaxSize, ", found ", size);
    }
  }
  return sizes;
}

void require_image(const Shape& input) {
  if (input.rank() != 4) {
    throw invalid_argument("the input must be [batch, height, width, channels], found ", input);
  }
  if (input[3] < 1) throw invalid_argument("the number of channels must be known, found ", input);
}

}  // namespace

WindowAxis window_axis(int64_t input, int64_t window, int64_t stride, int64_t dilation,
                       std::string_view padding) {
  if (window == 0 || stride < 1 || dilation < 1) {
    throw invalid_argument("window, stride and dilation must be at least 1, found ", window, ", ",
                           stride, " and ", dilation);
  }
  if (padding != "VALID" && padding != "SAME") {
    throw invalid_argument("padding must be VALID or SAME, found '", padding, "'");
  }
  WindowAxis axis{.input = input, .window = window, .stride = stride, .dilation = dilation};
  if (input < 0 || window < 0) {
    axis.output = -1;
    return axis;
  }
  if (window > kMaxSize || dilation > kMaxSize) {
    throw invalid_argument("a window of ", window, " with dilation ", dilation,
                           ": each must be at most ", kMaxSize);
  }
  const int64_t extent = (window - 1) * dilation + 1;
  if (padding == "VALID") {
    if (input < extent) {
      throw invalid_argument("a window of extent ", extent, " does not fit an image of size ",
                             input, "; use a larger image or SAME padding");
    }
    axis.output = (input - extent) / stride + 1;
    return axis;
  }
  axis.output = (input + stride - 1) / stride;
  const int64_t missing = std::max<int64_t>((axis.output - 1) * stride + extent - input, 0);
  axis.before = missing / 2;
  axis.after = missing - axis.before;
  return axis;
}

Conv2dGeometry conv2d_geometry(const Shape& input, const Shape& filter,
                               const Attributes& attributes) {
  require_image(input);
  if (filter.rank() != 4 || filter[2] < 1 || filter[3] < 1) {
    throw invalid_argument(
        "the filter must be [height, width, in_channels / groups, out_channels], found ", filter);
  }
  const int64_t groups = attributes.get<int64_t>("groups");
  if (groups < 1 || input[3] % groups != 0 || filter[3] % groups != 0) {
    throw invalid_argument("groups must divide the ", input[3], " input and ", filter[3],
                           " output channels, found ", groups);
  }
  if (filter[2] * groups != input[3]) {
    throw invalid_argument("the filter must have ", input[3] / groups,
                           " input channels (the image's ", input[3], " in ", groups,
                           " groups), found ", filter[2]);
  }
  const Ints& strides = pair(attributes, "strides");
  const Ints& dilations = pair(attributes, "dilations");
  const std::string& padding = attributes.get<std::string>("padding");
  return {.batch = input[0],
          .in_channels = input[3],
          .out_channels = filter[3],
          .groups = groups,
          .h = window_axis(input[1], filter[0], strides[0], dilations[0], padding),
          .w = window_axis(input[2], filter[1], strides[1], dilations[1], padding)};
}

Pool2dGeometry pool2d_geometry(const Shape& input, const Attributes& attributes) {
  require_image(input);
  const Ints& strides = pair(attributes, "strides");
  const Ints& window = pair(attributes, "window");
  const std::string& padding = attributes.get<std::string>("padding");
  return {.batch = input[0],
          .channels = input[3],
          .h = window_axis(input[1], window[0], strides[0], 1, padding),
          .w = window_axis(input[2], window[1], strides[1], 1, padding)};
}

}  // namespace trireme
