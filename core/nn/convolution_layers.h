// Convolutions besides Conv2D: over sequences and volumes, transposed, depthwise and separable.
// Sequences are [batch, steps, channels], images [batch, height, width, channels], volumes [batch,
// depth, height, width, channels]; names, defaults and variables are those that a Keras user knows.
#pragma once

#include <optional>
#include <string>

#include "core/nn/layers.h"

namespace trireme::nn {

enum class SequencePadding {
  kValid,
  kSame,
  kCausal,  // zeros before the first step: an output depends on no later step
};

// kernel: [kernel, channels / groups, filters].
struct Conv1DOptions {
  int64_t filters = 0, kernel = 0;  // must be given
  int64_t stride = 1, dilation = 1, groups = 1;
  SequencePadding padding = SequencePadding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Conv1D : public LayerOf<Conv1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// The gradient of a Conv1D with respect to its input, as a layer of its own. kernel: [kernel,
// filters, channels]. The output has, of n steps: VALID n·stride + max(kernel − stride, 0), SAME
// n·stride; with output_padding (n − 1)·stride + kernel + output_padding, SAME less 2·⌊kernel / 2⌋,
// where kernel is (kernel − 1)·dilation + 1.
struct Conv1DTransposeOptions {
  int64_t filters = 0, kernel = 0;  // must be given
  int64_t stride = 1, dilation = 1;
  std::optional<int64_t> output_padding = {};
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Conv1DTranspose : public LayerOf<Conv1DTransposeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv1d_transpose"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// As Conv1DTranspose, in two directions. kernel: [kernel_h, kernel_w, filters, channels].
struct Conv2DTransposeOptions {
  int64_t filters = 0;                 // must be given
  int64_t kernel_h = 0, kernel_w = 0;  // must be given
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  std::optional<int64_t> output_padding_h = {}, output_padding_w = {};
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Conv2DTranspose : public LayerOf<Conv2DTransposeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv2d_transpose"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// Each channel by itself with `depth_multiplier` filters: output channel c·depth_multiplier + m is
// of channel c. kernel: [kernel, channels, depth_multiplier].
struct DepthwiseConv1DOptions {
  int64_t kernel = 0;  // must be given
  int64_t stride = 1, dilation = 1, depth_multiplier = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer depthwise_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class DepthwiseConv1D : public LayerOf<DepthwiseConv1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "depthwise_conv1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// kernel: [kernel_h, kernel_w, channels, depth_multiplier].
struct DepthwiseConv2DOptions {
  int64_t kernel_h = 0, kernel_w = 0;  // must be given
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t depth_multiplier = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer depthwise_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class DepthwiseConv2D : public LayerOf<DepthwiseConv2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "depthwise_conv2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// A depthwise convolution, then one over the channels of each step. depthwise_kernel: [kernel,
// channels, depth_multiplier]; pointwise_kernel: [1, channels·depth_multiplier, filters].
struct SeparableConv1DOptions {
  int64_t filters = 0, kernel = 0;  // must be given
  int64_t stride = 1, dilation = 1, depth_multiplier = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer depthwise_initializer = glorot_uniform();
  Initializer pointwise_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class SeparableConv1D : public LayerOf<SeparableConv1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "separable_conv1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// depthwise_kernel: [kernel_h, kernel_w, channels, depth_multiplier]; pointwise_kernel: [1, 1,
// channels·depth_multiplier, filters].
struct SeparableConv2DOptions {
  int64_t filters = 0;                 // must be given
  int64_t kernel_h = 0, kernel_w = 0;  // must be given
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int64_t depth_multiplier = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer depthwise_initializer = glorot_uniform();
  Initializer pointwise_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class SeparableConv2D : public LayerOf<SeparableConv2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "separable_conv2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// A convolution over volumes, by convolutions of images that have all slices of a window as
// channels. kernel: [kernel_d, kernel_h, kernel_w, channels / groups, filters].
struct Conv3DOptions {
  int64_t filters = 0;                               // must be given
  int64_t kernel_d = 0, kernel_h = 0, kernel_w = 0;  // must be given
  int64_t stride_d = 1, stride_h = 1, stride_w = 1;
  int64_t dilation_d = 1, dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Conv3D : public LayerOf<Conv3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// As Conv2DTranspose, in three directions. kernel: [kernel_d, kernel_h, kernel_w, filters,
// channels].
struct Conv3DTransposeOptions {
  int64_t filters = 0;                               // must be given
  int64_t kernel_d = 0, kernel_h = 0, kernel_w = 0;  // must be given
  int64_t stride_d = 1, stride_h = 1, stride_w = 1;
  int64_t dilation_d = 1, dilation_h = 1, dilation_w = 1;
  std::optional<int64_t> output_padding_d = {}, output_padding_h = {}, output_padding_w = {};
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Conv3DTranspose : public LayerOf<Conv3DTransposeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv3d_transpose"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// One direction of a transposed convolution.
struct TransposedAxis {
  int64_t input, kernel, stride, dilation;
  std::optional<int64_t> output_padding;

  int64_t output(ops::Padding padding) const;
  // Throws Error{kInvalidArgument}, with the layer's name, for what has no output.
  void check(std::string_view layer) const;
};

}  // namespace trireme::nn
