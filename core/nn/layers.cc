#include "core/nn/layers.h"

#include "core/base/error.h"
#include "core/nn/names.h"

namespace trireme::nn {
namespace {

void require_positive(std::string_view layer, std::string_view what, int64_t value) {
  if (value < 1) {
    throw invalid_argument(layer, ": ", what, " must be at least 1; found ", value);
  }
}

void require_floating(const BuildContext& context, Value x) {
  context.require(is_floating(x.dtype()), "floating-point numbers",
                  "cast and scale the values in the data set");
}

void require_images(const BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() == 4, "images [batch, height, width, channels]",
                  x.shape().rank() == 3 ? "add a reshape layer that gives them a channel axis"
                                        : "move this layer before the flatten layer");
  context.require(x.shape()[3] > 0, "images with a known number of channels");
}

void require_epsilon(const char* layer, double epsilon) {
  if (!(epsilon > 0)) {
    throw invalid_argument(layer, ": epsilon must be above 0; found ", epsilon);
  }
}

// The shape of what a normalisation keeps for each channel.
Shape channels_of(BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() >= 2 && x.shape().dim(-1) > 0,
                  "a known number of channels [batch, …, channels]");
  return {x.shape().dim(-1)};
}

}  // namespace

Value activate(Value x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return ops::relu(x);
    case Activation::kSigmoid:
      return ops::sigmoid(x);
    case Activation::kTanh:
      return ops::tanh(x);
    case Activation::kSoftmax:
      return ops::softmax(x);
  }
  TRIREME_CHECK(false, "activation ", static_cast<int>(activation));
}

Activation activation_from_name(std::string_view name) {
  static const std::map<std::string, Activation, std::less<>> known = {
      {"none", Activation::kNone},       {"relu", Activation::kRelu},
      {"sigmoid", Activation::kSigmoid}, {"tanh", Activation::kTanh},
      {"softmax", Activation::kSoftmax},
  };
  return find_by_name(known, name, "activation");
}

std::string_view name(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return "none";
    case Activation::kRelu:
      return "relu";
    case Activation::kSigmoid:
      return "sigmoid";
    case Activation::kTanh:
      return "tanh";
    case Activation::kSoftmax:
      return "softmax";
  }
  TRIREME_CHECK(false, "activation ", static_cast<int>(activation));
}

Dense::Dense(Options options) : Layer(options.name), options_(std::move(options)) {
  require_positive("dense", "units", options_.units);
}

Value Dense::call(BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() == 2, "a flat input [batch, features]",
                  "add a flatten layer before it");
  context.require(x.shape()[1] > 0, "a known number of features [batch, features]");
  const Shape kernel_shape{x.shape()[1], options_.units};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, options_.kernel_initializer, fans);
  Value y = ops::matmul(x, kernel);
  if (options_.use_bias) {
    const Shape bias_shape{options_.units};
    y = ops::bias_add(y, context.variable("bias", bias_shape, options_.bias_initializer, fans));
  }
  return activate(y, options_.activation);
}

Conv2D::Conv2D(Options options) : Layer(options.name), options_(std::move(options)) {
  require_positive("conv2d", "filters", options_.filters);
  require_positive("conv2d", "kernel", std::min(options_.kernel_h, options_.kernel_w));
  require_positive("conv2d", "strides", std::min(options_.stride_h, options_.stride_w));
  require_positive("conv2d", "dilation", std::min(options_.dilation_h, options_.dilation_w));
  require_positive("conv2d", "groups", options_.groups);
  if (options_.filters % options_.groups != 0) {
    throw invalid_argument("conv2d: filters must be a multiple of groups; found ", options_.filters,
                           " filters in ", options_.groups, " groups");
  }
}

Value Conv2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  const int64_t channels = x.shape()[3];
  context.require(channels % options_.groups == 0,
                  str_cat("channels that divide into ", options_.groups, " groups"));
  const Shape kernel_shape{options_.kernel_h, options_.kernel_w, channels / options_.groups,
                           options_.filters};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, options_.kernel_initializer, fans);
  Value y = ops::conv2d(x, kernel,
                        {.stride_h = options_.stride_h,
                         .stride_w = options_.stride_w,
                         .dilation_h = options_.dilation_h,
                         .dilation_w = options_.dilation_w,
                         .groups = options_.groups,
                         .padding = options_.padding});
  if (options_.use_bias) {
    const Shape bias_shape{options_.filters};
    y = ops::bias_add(y, context.variable("bias", bias_shape, options_.bias_initializer, fans));
  }
  return activate(y, options_.activation);
}

Pool2D::Pool2D(Options options, bool maximum)
    : Layer(options.name), options_(std::move(options)), maximum_(maximum) {
  require_positive("pool2d", "window", std::min(options_.window_h, options_.window_w));
  if (options_.stride_h == 0) options_.stride_h = options_.window_h;
  if (options_.stride_w == 0) options_.stride_w = options_.window_w;
  require_positive("pool2d", "strides", std::min(options_.stride_h, options_.stride_w));
}

Value Pool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  const ops::Pool2dOptions pool{.window_h = options_.window_h,
                                .window_w = options_.window_w,
                                .stride_h = options_.stride_h,
                                .stride_w = options_.stride_w,
                                .padding = options_.padding};
  return maximum_ ? ops::max_pool2d(x, pool) : ops::avg_pool2d(x, pool);
}

Value GlobalAvgPool2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::mean(x, {1, 2});
}

Value ZeroPad2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  return ops::pad(x, {0, options_.top, options_.left, 0}, {0, options_.bottom, options_.right, 0});
}

Value Flatten::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() >= 1, "a batch [batch, …]");
  return x.shape().rank() == 2 ? x : ops::flatten(x);
}

Value Reshape::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() >= 1, "a batch [batch, …]");
  Shape target{-1};
  int64_t wanted = 1, found = 1;
  for (int64_t size : shape_) {
    target.push_back(size);
    wanted *= size;
  }
  for (int i = 1; i < x.shape().rank(); ++i) found *= x.shape()[i];
  context.require(wanted == found, str_cat(wanted, " elements an example for ", shape_));
  return ops::reshape(x, target);
}

Dropout::Dropout(Options options) : Layer(options.name), rate_(options.rate) {
  if (!(rate_ >= 0 && rate_ < 1)) {
    throw invalid_argument("dropout: rate must be in [0, 1); found ", rate_);
  }
}

Value Dropout::call(BuildContext& context, Value x) {
  require_floating(context, x);
  if (!context.training() || rate_ == 0) return x;
  return ops::dropout(x, context.random_key(), rate_, context.layer_seed());
}

BatchNorm::BatchNorm(Options options) : Layer(options.name), options_(std::move(options)) {
  if (!(options_.momentum >= 0 && options_.momentum <= 1)) {
    throw invalid_argument("batch_norm: momentum must be in [0, 1]; found ", options_.momentum);
  }
  require_epsilon("batch_norm", options_.epsilon);
}

Value BatchNorm::call(BuildContext& context, Value x) {
  const Shape shape = channels_of(context, x);
  const Value gamma = context.variable("gamma", shape, ones());
  const Value beta = context.variable("beta", shape, zeros());
  const Value mean = context.variable("moving_mean", shape, zeros(), {}, false);
  const Value variance = context.variable("moving_variance", shape, ones(), {}, false);
  if (context.training()) {
    auto batch = ops::batch_norm(x, gamma, beta, options_.epsilon);
    context.add_moving_average(mean, batch.mean, options_.momentum);
    context.add_moving_average(variance, batch.variance, options_.momentum);
    return batch.y;
  }
  // Everything but the last two operations is of the channels' size, not the images'.
  const Value epsilon = ops::scalar(context.graph(), DType::kFloat32, options_.epsilon);
  const Value scale = gamma * ops::rsqrt(variance + epsilon);
  return x * scale + (beta - mean * scale);
}

LayerNorm::LayerNorm(Options options) : Layer(options.name), options_(std::move(options)) {
  require_epsilon("layer_norm", options_.epsilon);
}

Value LayerNorm::call(BuildContext& context, Value x) {
  const Shape shape = channels_of(context, x);
  const Value gamma = context.variable("gamma", shape, ones());
  const Value beta = context.variable("beta", shape, zeros());
  const Value centered = x - ops::mean(x, {-1}, true);
  const Value variance = ops::mean(ops::square(centered), {-1}, true);
  const Value epsilon = ops::scalar(context.graph(), DType::kFloat32, options_.epsilon);
  return centered * ops::rsqrt(variance + epsilon) * gamma + beta;
}

Embedding::Embedding(Options options) : Layer(options.name), options_(std::move(options)) {
  require_positive("embedding", "rows", options_.rows);
  require_positive("embedding", "dimension", options_.dimension);
}

Value Embedding::call(BuildContext& context, Value x) {
  context.require(x.dtype() == DType::kInt64 || x.dtype() == DType::kInt32, "i32 or i64 indices",
                  "an embedding is a model's first layer");
  context.require(x.shape().rank() == 1 || x.shape().rank() == 2, "indices [batch] or [batch, n]");
  return context.embedding("embeddings", options_.rows, options_.dimension, options_.initializer,
                           x);
}

void describe(OptionVisitor& visitor, const OptionInfo& info, Activation& activation) {
  static constexpr EnumName<Activation> kNames[] = {{Activation::kNone, "NONE"},
                                                    {Activation::kRelu, "RELU"},
                                                    {Activation::kSigmoid, "SIGMOID"},
                                                    {Activation::kTanh, "TANH"},
                                                    {Activation::kSoftmax, "SOFTMAX"}};
  visitor.field(info, activation, kNames);
}

void DenseOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "units", .help = "width of the output", .range = at_least(1)}, units);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, activation);
  visitor.field({.name = "use_bias", .help = "adds a bias"}, use_bias);
  visitor.negated({.name = "no_bias", .help = "true is use_bias: false"}, use_bias);
}

void register_core_layers(Catalog<Layer>& catalog) {
  catalog.add<Dense>("dense", "Dense", "activation(x · kernel + bias), over the last axis.");
}

}  // namespace trireme::nn
