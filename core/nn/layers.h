// The layers that Trireme has. Images are NHWC; names, defaults and variables are those that a
// Keras user knows.
//
//   Model model;
//   model.add<Conv2D>({.filters = 6, .kernel_h = 5, .kernel_w = 5, .activation =
//   Activation::kRelu});
#pragma once

#include "core/nn/layer.h"
#include "core/ops/ops.h"

namespace trireme::nn {

enum class Activation { kNone, kRelu, kSigmoid, kTanh, kSoftmax };
Value activate(Value x, Activation activation);
// Throws Error{kInvalidArgument} listing the names: none, relu, sigmoid, tanh, softmax.
Activation activation_from_name(std::string_view name);
std::string_view name(Activation activation);
void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation);

void register_core_layers(Catalog<Layer>& catalog);

// y = activation(x · kernel + bias); x: [batch, features].
struct DenseOptions {
  int64_t units = 1;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Dense : public Layer {
 public:
  using Options = DenseOptions;
  explicit Dense(Options options = {});
  void describe(OptionVisitor& visitor) override { options_.describe(visitor); }
  std::string type() const override { return "dense"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

// x: [batch, height, width, channels]; kernel: [kernel_h, kernel_w, channels / groups, filters].
struct Conv2DOptions {
  int64_t filters = 1;
  int64_t kernel_h = 3, kernel_w = 3;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  ops::Padding padding = ops::Padding::kValid;
  Activation activation = Activation::kNone;
  bool use_bias = true;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";
};
class Conv2D : public Layer {
 public:
  using Options = Conv2DOptions;
  explicit Conv2D(Options options);
  std::string type() const override { return "conv2d"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

struct Pool2DOptions {
  int64_t window_h = 2, window_w = 2;
  int64_t stride_h = 0, stride_w = 0;  // 0: the window
  ops::Padding padding = ops::Padding::kValid;
  std::string name = "";
};
class Pool2D : public Layer {
 public:
  using Options = Pool2DOptions;
  Value call(BuildContext& context, Value x) override;

 protected:
  Pool2D(Options options, bool maximum);

 private:
  Options options_;
  bool maximum_;
};
class MaxPool2D : public Pool2D {
 public:
  explicit MaxPool2D(Options options) : Pool2D(std::move(options), true) {}
  std::string type() const override { return "max_pool2d"; }
};
class AvgPool2D : public Pool2D {
 public:
  explicit AvgPool2D(Options options) : Pool2D(std::move(options), false) {}
  std::string type() const override { return "avg_pool2d"; }
};

// The mean of each channel over the whole image: [batch, channels].
struct GlobalAvgPool2DOptions {
  std::string name = "";
};
class GlobalAvgPool2D : public Layer {
 public:
  using Options = GlobalAvgPool2DOptions;
  explicit GlobalAvgPool2D(Options options = {}) : Layer(std::move(options.name)) {}
  std::string type() const override { return "global_avg_pool2d"; }
  Value call(BuildContext& context, Value x) override;
};

// Zeros around each image.
struct ZeroPad2DOptions {
  int64_t top = 1, bottom = 1, left = 1, right = 1;
  std::string name = "";
};
class ZeroPad2D : public Layer {
 public:
  using Options = ZeroPad2DOptions;
  explicit ZeroPad2D(Options options) : Layer(options.name), options_(std::move(options)) {}
  std::string type() const override { return "zero_pad2d"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

// [batch, …] → [batch, everything else].
struct FlattenOptions {
  std::string name = "";
};
class Flatten : public Layer {
 public:
  using Options = FlattenOptions;
  explicit Flatten(Options options = {}) : Layer(std::move(options.name)) {}
  std::string type() const override { return "flatten"; }
  Value call(BuildContext& context, Value x) override;
};

// [batch, …] → [batch, shape…].
struct ReshapeOptions {
  Shape shape;  // without the batch
  std::string name = "";
};
class Reshape : public Layer {
 public:
  using Options = ReshapeOptions;
  explicit Reshape(Options options) : Layer(options.name), shape_(options.shape) {}
  std::string type() const override { return "reshape"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Shape shape_;
};

struct ActivationOptions {
  Activation activation = Activation::kRelu;
  std::string name = "";
};
class ActivationLayer : public Layer {
 public:
  using Options = ActivationOptions;
  explicit ActivationLayer(Options options)
      : Layer(std::move(options.name)), activation_(options.activation) {}
  std::string type() const override { return "activation"; }
  Value call(BuildContext&, Value x) override { return activate(x, activation_); }

 private:
  Activation activation_;
};

// While training sets a share `rate` of the elements to zero and scales the others by 1 / (1 −
// rate).
struct DropoutOptions {
  double rate = 0.5;
  std::string name = "";
};
class Dropout : public Layer {
 public:
  using Options = DropoutOptions;
  explicit Dropout(Options options);
  std::string type() const override { return "dropout"; }
  Value call(BuildContext& context, Value x) override;

 private:
  double rate_;
};

// Ioffe and Szegedy 2015, over all axes but the last. Training uses the batch's mean and variance
// and keeps moving averages of them; inference uses those.
struct BatchNormOptions {
  double momentum = 0.99;
  double epsilon = 1e-3;
  std::string name = "";
};
class BatchNorm : public Layer {
 public:
  using Options = BatchNormOptions;
  explicit BatchNorm(Options options = {});
  std::string type() const override { return "batch_norm"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

// (x − mean)/√(variance + epsilon)·gamma + beta, with mean and biased variance over the last axis
// of each example (Ba et al. 2016), the same in training and inference. x: [batch, …, channels],
// f32.
struct LayerNormOptions {
  double epsilon = 1e-3;
  std::string name = "";
};
class LayerNorm : public Layer {
 public:
  using Options = LayerNormOptions;
  explicit LayerNorm(Options options = {});
  std::string type() const override { return "layer_norm"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

// A row of a table for each index; x: [batch] or [batch, n] of i32 or i64 in [0, rows).
struct EmbeddingOptions {
  int64_t rows = 1, dimension = 1;
  Initializer initializer = uniform();
  std::string name = "";
};
class Embedding : public Layer {
 public:
  using Options = EmbeddingOptions;
  explicit Embedding(Options options);
  std::string type() const override { return "embedding"; }
  Value call(BuildContext& context, Value x) override;

 private:
  Options options_;
};

}  // namespace trireme::nn
