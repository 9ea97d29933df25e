#include "core/base/error.h"
#include "core/ops/window.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

// One convolution, from which the cases of all its ops are made.
struct Sizes {
  std::string label;
  Shape input, filter;
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, groups = 1;
  bool differentiate = true;
};

void add_cases(const Sizes& s, const std::string& padding, const std::string& activation,
               std::vector<OpCase>& cases) {
  const Attributes attributes = {{"strides", Ints{s.stride_h, s.stride_w}},
                                 {"dilations", Ints{s.dilation_h, s.dilation_w}},
                                 {"padding", padding},
                                 {"groups", s.groups}};
  const Shape output = conv2d_geometry(s.input, s.filter, attributes).output();
  const auto add = [&](const char* op, std::vector<OpInput> inputs, Attributes with) {
    OpCase op_case{op, s.label + "_" + padding, std::move(inputs), std::move(with)};
    // Sums of many products: the order of f32 additions differs between kernels.
    op_case.tolerance_f32 = s.differentiate ? 2e-5 : 3e-4;
    op_case.check_gradient = s.differentiate;
    op_case.gradient_tolerance = 2e-6;
    cases.push_back(std::move(op_case));
  };
  add("Conv2d", {real(s.input), real(s.filter)}, attributes);
  add("Conv2dBackwardInput", {real(s.filter), real(output), real(s.input)}, attributes);
  if (s.differentiate || s.label == "depthwise") {  // a transposed convolution by itself
    Attributes with_image = attributes;
    with_image.set("image", Ints{s.input[1], s.input[2]});
    add("Conv2dBackwardInput", {real(s.filter), real(output)}, with_image);
    cases.back().label += "_of_a_size";
  }
  Attributes with_shape = attributes;
  with_shape.set("filter_shape", s.filter);
  add("Conv2dBackwardFilter", {real(s.input), real(output)}, with_shape);
  for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    add("WideConv2dBackwardFilter", {fixed(dtype, s.input, -2, 2), fixed(dtype, output, -2, 2)},
        with_shape);
    cases.back().check_gradient = false;
  }
  Attributes fused = attributes;
  fused.set("activation", activation);
  add("FusedConv2d", {real(s.input), real(s.filter), real({s.filter[3]})}, fused);
}

}  // namespace

std::vector<OpCase> convolution_cases() {
  std::vector<OpCase> cases;
  const char* const activations[] = {"relu", "none", "sigmoid", "tanh"};
  int count = 0;
  // Every combination of what a window can do, on an image small enough to differentiate.
  for (int64_t stride : {1, 2, 3}) {
    for (int64_t dilation : {1, 2}) {
      for (int64_t groups : {1, 2}) {
        for (const char* padding : {"VALID", "SAME"}) {
          const Sizes sizes{str_cat("stride_", stride, "_dilation_", dilation, "_groups_", groups),
                            {2, 5, 6, 2},
                            {2, 3, 2 / groups, 4},
                            stride,
                            1 + stride / 2,
                            dilation,
                            1 + dilation / 2,
                            groups};
          add_cases(sizes, padding, activations[count++ % 4], cases);
        }
      }
    }
  }
  const Sizes more[] = {
      {"one_pixel", {1, 1, 1, 1}, {1, 1, 1, 1}},
      {"pointwise", {2, 3, 3, 3}, {1, 1, 3, 2}},
      {"whole_image", {2, 3, 4, 2}, {3, 4, 2, 3}},
      {"stride_beyond_window", {2, 7, 7, 1}, {2, 2, 1, 2}, 3, 4},
      {"flat", {1, 1, 9, 2}, {1, 3, 2, 3}},
      {"window_larger_than_same_image", {1, 2, 2, 1}, {2, 2, 1, 1}, 2, 2},
      // What the models are made of, and channels around the width of a vector.
      {"lenet_1", {5, 32, 32, 1}, {5, 5, 1, 6}, 1, 1, 1, 1, 1, false},
      {"one_channel_to_8", {2, 7, 52, 1}, {3, 4, 1, 8}, 1, 1, 1, 1, 1, false},
      {"one_channel_to_3", {2, 6, 13, 1}, {2, 3, 1, 3}, 2, 1, 1, 1, 1, false},
      {"one_channel_to_5", {2, 6, 33, 1}, {3, 3, 1, 5}, 1, 1, 1, 1, 1, false},
      {"lenet_2", {5, 14, 14, 6}, {5, 5, 6, 16}, 1, 1, 1, 1, 1, false},
      {"cifar_1", {3, 32, 32, 3}, {3, 3, 3, 32}, 1, 1, 1, 1, 1, false},
      {"cifar_2", {2, 16, 16, 32}, {3, 3, 32, 64}, 1, 1, 1, 1, 1, false},
      // Large enough for the batch to be cut into pieces.
      {"pieces", {8, 16, 16, 32}, {3, 3, 32, 48}, 1, 1, 1, 1, 1, false},
      {"odd_channels", {3, 11, 13, 7}, {3, 3, 7, 17}, 1, 1, 1, 1, 1, false},
      {"many_out", {2, 9, 10, 5}, {3, 2, 5, 71}, 2, 1, 1, 1, 1, false},
      {"three_vectors", {2, 9, 21, 4}, {3, 5, 4, 48}, 1, 2, 1, 1, 1, false},
      {"sixteen_in", {2, 10, 11, 16}, {3, 3, 16, 20}, 1, 1, 1, 1, 1, false},
      {"wide_window", {2, 12, 40, 16}, {3, 7, 16, 8}, 1, 1, 1, 1, 1, false},
      {"tall_window", {2, 13, 9, 1}, {7, 3, 1, 9}, 2, 2, 1, 1, 1, false},
      {"three_by_three_one_in", {3, 15, 17, 1}, {3, 3, 1, 12}, 2, 2, 1, 1, 1, false},
      {"depthwise", {2, 9, 9, 16}, {3, 3, 1, 16}, 1, 1, 1, 1, 16, false},
      {"grouped", {2, 9, 9, 24}, {3, 3, 8, 30}, 2, 2, 1, 1, 3, false},
      {"pointwise_wide", {2, 7, 5, 32}, {1, 1, 32, 24}, 1, 1, 1, 1, 1, false},
      {"pointwise_strided", {1, 6, 5, 8}, {1, 1, 8, 16}, 2, 2, 1, 1, 1, false},
      {"image_stem", {1, 26, 28, 3}, {7, 7, 3, 16}, 2, 2, 1, 1, 1, false},
      {"downsampling", {1, 12, 14, 16}, {3, 3, 16, 24}, 2, 2, 1, 1, 1, false},
      {"dilated", {2, 17, 17, 20}, {3, 3, 20, 18}, 1, 1, 3, 2, 1, false},
      {"strided", {2, 28, 30, 24}, {7, 7, 24, 33}, 2, 2, 1, 1, 1, false},
  };
  for (const Sizes& sizes : more) {
    for (const char* padding : {"VALID", "SAME"}) {
      add_cases(sizes, padding, activations[count++ % 4], cases);
    }
  }
  return cases;
}

}  // namespace trireme::testing
