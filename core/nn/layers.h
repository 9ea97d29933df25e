// The layers that Trireme has. Images are NHWC; names, defaults and variables are those that a
// Keras user knows.
//
//   Model model;
//   model.add<Conv2D>({.filters = 6, .kernel_h = 5, .kernel_w = 5, .activation =
//   Activation::kRelu});
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"
#include "core/nn/normalization_layers.h"
#include "core/ops/ops.h"

namespace trireme::nn {

void register_core_layers(Catalog<Layer>& catalog);

// y = activation(x · kernel + bias); x: [batch, features] or [batch, time, features].
struct DenseOptions {
  int64_t units = 0;  // must be given
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  RegularizerPtr kernel_regularizer = {}, bias_regularizer = {}, activity_regularizer = {};
  ConstraintPtr kernel_constraint = {}, bias_constraint = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Dense : public LayerOf<DenseOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "dense"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// x: [batch, height, width, channels]; kernel: [kernel_h, kernel_w, channels / groups, filters].
struct Conv2DOptions {
  int64_t filters = 0;  // must be given
  int64_t kernel_h = 3, kernel_w = 3;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
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
class Conv2D : public LayerOf<Conv2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "conv2d"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

struct Pool2DOptions {
  int64_t window_h = 2, window_w = 2;
  std::optional<int64_t> stride_h = {}, stride_w = {};  // nothing: the window
  ops::Padding padding = ops::Padding::kValid;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class MaxPool2D : public LayerOf<Pool2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "max_pool2d"; }
  Value call(BuildContext& context, Value x) override;
};
class AvgPool2D : public LayerOf<Pool2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "avg_pool2d"; }
  Value call(BuildContext& context, Value x) override;
};

// The mean of each channel over the whole image: [batch, channels].
struct GlobalAvgPool2DOptions {
  bool keep_dims = false;  // [batch, 1, 1, channels]
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class GlobalAvgPool2D : public LayerOf<GlobalAvgPool2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_avg_pool2d"; }
  Value call(BuildContext& context, Value x) override;
};

// Zeros around each image.
struct ZeroPad2DOptions {
  int64_t top = 1, bottom = 1, left = 1, right = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class ZeroPad2D : public LayerOf<ZeroPad2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "zero_pad2d"; }
  Value call(BuildContext& context, Value x) override;
};

// [batch, …] → [batch, everything else].
struct FlattenOptions {
  std::string name = "";
  void describe(OptionVisitor&) {}
};
class Flatten : public LayerOf<FlattenOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "flatten"; }
  Value call(BuildContext& context, Value x) override;
};

// [batch, …] → [batch, shape…].
struct ReshapeOptions {
  std::vector<int64_t> shape = {};  // without the batch; one -1 is worked out
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Reshape : public LayerOf<ReshapeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "reshape"; }
  Value call(BuildContext& context, Value x) override;
};

struct ActivationOptions {
  Activation activation = Activation::kNone;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class ActivationLayer : public LayerOf<ActivationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "activation"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
};

// While training sets a share `rate` of the elements to zero and scales the others by 1 / (1 −
// rate).
struct DropoutOptions {
  std::optional<double> rate = {};  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Dropout : public LayerOf<DropoutOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "dropout"; }
  Value call(BuildContext& context, Value x) override;
};

// A row of a table for each index; x: [batch] or [batch, n] of i32 or i64 in [0, rows).
struct EmbeddingOptions {
  int64_t rows = 0, dimension = 0;  // must be given
  bool mask_zero = false;           // index 0 pads: BuildContext::mask() of the rows
  Initializer initializer = uniform();
  RegularizerPtr regularizer = {};
  ConstraintPtr constraint = {};
  std::optional<TablePolicy> table = {};  // on parameter servers; nothing: every key has a row
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
// The rows of the current layer's table "embeddings".
Value embedding_rows(BuildContext& context, const EmbeddingOptions& options, Value x);
class Embedding : public LayerOf<EmbeddingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "embedding"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
