#include "core/base/error.h"
#include "core/ops/window.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Sizes {
  const char* label;
  Shape input;
  Ints window, strides;
};

const Sizes kSizes[] = {
    {"tiles", {2, 4, 4, 2}, {2, 2}, {2, 2}},
    {"odd_image", {1, 5, 7, 2}, {2, 2}, {2, 2}},
    {"overlapping", {1, 5, 5, 2}, {3, 3}, {2, 2}},
    {"every_pixel", {1, 4, 4, 1}, {3, 2}, {1, 1}},
    {"gaps", {1, 7, 8, 2}, {2, 1}, {3, 3}},
    {"whole_image", {2, 3, 4, 2}, {3, 4}, {1, 1}},
    {"one_pixel", {1, 1, 1, 1}, {1, 1}, {1, 1}},
    {"large_window", {1, 17, 17, 1}, {17, 17}, {1, 1}},
    {"lenet_1", {3, 28, 28, 6}, {2, 2}, {2, 2}},
    {"lenet_2", {3, 10, 10, 16}, {2, 2}, {2, 2}},
    {"cifar", {3, 16, 16, 64}, {2, 2}, {2, 2}},
    {"resnet", {2, 12, 14, 24}, {3, 3}, {2, 2}},
    {"odd_channels", {2, 11, 13, 37}, {2, 3}, {2, 3}},
    {"many_channels", {2, 9, 9, 67}, {3, 3}, {2, 2}},
};

}  // namespace

std::vector<OpCase> pooling_cases() {
  std::vector<OpCase> cases;
  for (const Sizes& s : kSizes) {
    for (const char* padding : {"VALID", "SAME"}) {
      const Attributes attributes = {
          {"window", s.window}, {"strides", s.strides}, {"padding", std::string(padding)}};
      const Pool2dGeometry geometry = pool2d_geometry(s.input, attributes);
      const Shape output = geometry.output();
      const auto add = [&](const char* op, std::vector<OpInput> inputs) {
        cases.push_back({op, str_cat(s.label, "_", padding), std::move(inputs), attributes});
        cases.back().check_gradient = s.input.elements() <= 64;
      };
      add("MaxPool2d", {real(s.input)});
      add("AvgPool2d", {real(s.input)});
      add("AvgPool2dGrad", {real(output), real(s.input)});
      // Drawn positions may fall on padding, where no maximum ever stands: only windows inside the
      // image.
      const auto inside = [](const WindowAxis& axis) { return axis.before + axis.after == 0; };
      if (!inside(geometry.h) || !inside(geometry.w)) continue;
      const int64_t area = s.window[0] * s.window[1];
      const OpInput positions =
          fixed(area > 256 ? DType::kInt32 : DType::kUInt8, output, 0, static_cast<double>(area));
      add("MaxPool2dGrad", {real(output), positions, real(s.input)});
      add("MaxPool2dGradGrad", {real(s.input), positions});
    }
  }
  return cases;
}

}  // namespace trireme::testing
