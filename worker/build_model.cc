#include "worker/build_model.h"

#include "core/base/error.h"
#include "core/nn/click_layers.h"
#include "core/nn/layers.h"
#include "core/nn/optimizers.h"
#include "core/nn/residual_layers.h"
#include "core/ops/ops.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

nn::Activation activation(job::Activation activation) {
  switch (activation) {
    case job::RELU:
      return nn::Activation::kRelu;
    case job::SIGMOID:
      return nn::Activation::kSigmoid;
    case job::TANH:
      return nn::Activation::kTanh;
    case job::SOFTMAX:
      return nn::Activation::kSoftmax;
    default:
      return nn::Activation::kNone;
  }
}

ops::Padding padding(job::Padding padding) {
  return padding == job::SAME ? ops::Padding::kSame : ops::Padding::kValid;
}

// In a job file an absent number is 0.
template <typename T>
T or_default(T value, T fallback) {
  return value == 0 ? fallback : value;
}

nn::Conv2DOptions conv2d_options(const job::Conv2D& conv) {
  const int64_t stride = or_default<int64_t>(conv.stride(), 1),
                dilation = or_default<int64_t>(conv.dilation(), 1);
  return {.filters = conv.filters(),
          .kernel_h = or_default(or_default(conv.kernel_height(), conv.kernel()), int64_t{3}),
          .kernel_w = or_default(or_default(conv.kernel_width(), conv.kernel()), int64_t{3}),
          .stride_h = stride,
          .stride_w = stride,
          .dilation_h = dilation,
          .dilation_w = dilation,
          .groups = or_default<int64_t>(conv.groups(), 1),
          .padding = padding(conv.padding()),
          .activation = activation(conv.activation()),
          .use_bias = !conv.no_bias()};
}

nn::Pool2DOptions pool2d_options(const job::Pool2D& pool) {
  const int64_t window = or_default<int64_t>(pool.window(), 2);
  return {.window_h = window,
          .window_w = window,
          .stride_h = pool.stride() == 0 ? std::nullopt : std::optional(pool.stride()),
          .stride_w = pool.stride() == 0 ? std::nullopt : std::optional(pool.stride()),
          .padding = padding(pool.padding())};
}

std::optional<nn::TablePolicy> table_policy(bool present, const job::TablePolicy& table) {
  if (!present) return std::nullopt;
  return nn::TablePolicy{.admit_after = or_default<int64_t>(table.admit_after(), 1),
                         .admit_probability = or_default(table.admit_probability(), 1.),
                         .evict_max_age = table.evict_max_age(),
                         .evict_min_frequency = table.evict_min_frequency(),
                         .evict_max_rows = table.evict_max_rows()};
}

nn::HiddenUnits units_or(const google::protobuf::RepeatedField<int64_t>& units,
                         nn::HiddenUnits fallback) {
  return units.empty() ? std::move(fallback) : nn::HiddenUnits(units.begin(), units.end());
}

nn::DlrmOptions dlrm_options(const job::Dlrm& dlrm) {
  nn::DlrmOptions options{.rows = dlrm.keys()};
  options.dimension = or_default(dlrm.dimension(), options.dimension);
  options.bottom = units_or(dlrm.bottom(), options.bottom);
  options.top = units_or(dlrm.top(), options.top);
  options.table = table_policy(dlrm.has_table(), dlrm.table());
  return options;
}

nn::WideDeepOptions wide_deep_options(const job::WideDeep& wide_deep) {
  nn::WideDeepOptions options{.rows = wide_deep.keys()};
  options.dimension = or_default(wide_deep.dimension(), options.dimension);
  options.deep = units_or(wide_deep.deep(), options.deep);
  options.table = table_policy(wide_deep.has_table(), wide_deep.table());
  return options;
}

std::unique_ptr<nn::Layer> make_layer(const job::Layer& layer);

nn::LayerList make_layers(const google::protobuf::RepeatedPtrField<job::Layer>& layers) {
  nn::LayerList made;
  for (const job::Layer& layer : layers) made.push_back(make_layer(layer));
  return made;
}

std::unique_ptr<nn::Layer> make_unnamed_layer(const job::Layer& layer) {
  switch (layer.kind_case()) {
    case job::Layer::kDense:
      return std::make_unique<nn::Dense>(
          nn::DenseOptions{.units = layer.dense().units(),
                           .activation = activation(layer.dense().activation()),
                           .use_bias = !layer.dense().no_bias()});
    case job::Layer::kConv2D:
      return std::make_unique<nn::Conv2D>(conv2d_options(layer.conv2d()));
    case job::Layer::kMaxPool2D:
      return std::make_unique<nn::MaxPool2D>(pool2d_options(layer.max_pool2d()));
    case job::Layer::kAvgPool2D:
      return std::make_unique<nn::AvgPool2D>(pool2d_options(layer.avg_pool2d()));
    case job::Layer::kFlatten:
      return std::make_unique<nn::Flatten>();
    case job::Layer::kDropout:
      return std::make_unique<nn::Dropout>(nn::DropoutOptions{.rate = layer.dropout().rate()});
    case job::Layer::kBatchNorm:
      return std::make_unique<nn::BatchNorm>(
          nn::BatchNormOptions{.momentum = or_default(layer.batch_norm().momentum(), 0.99),
                               .epsilon = or_default(layer.batch_norm().epsilon(), 1e-3)});
    case job::Layer::kLayerNorm:
      return std::make_unique<nn::LayerNorm>(
          nn::LayerNormOptions{.epsilon = or_default(layer.layer_norm().epsilon(), 1e-3)});
    case job::Layer::kActivation:
      return std::make_unique<nn::ActivationLayer>(
          nn::ActivationOptions{.activation = activation(layer.activation().function())});
    case job::Layer::kEmbedding:
      return std::make_unique<nn::Embedding>(nn::EmbeddingOptions{
          .rows = layer.embedding().vocabulary(),
          .dimension = layer.embedding().dimension(),
          .table = table_policy(layer.embedding().has_table(), layer.embedding().table())});
    case job::Layer::kZeroPad2D: {
      const int64_t p = layer.zero_pad2d().padding();
      return std::make_unique<nn::ZeroPad2D>(
          nn::ZeroPad2DOptions{.top = p, .bottom = p, .left = p, .right = p});
    }
    case job::Layer::kDlrm:
      return std::make_unique<nn::Dlrm>(dlrm_options(layer.dlrm()));
    case job::Layer::kWideDeep:
      return std::make_unique<nn::WideDeep>(wide_deep_options(layer.wide_deep()));
    case job::Layer::kGlobalAvgPool2D:
      return std::make_unique<nn::GlobalAvgPool2D>();
    case job::Layer::kResidual:
      return std::make_unique<nn::Residual>(
          nn::ResidualOptions{.layers = make_layers(layer.residual().layers()),
                              .shortcut = make_layers(layer.residual().shortcut()),
                              .activation = activation(layer.residual().activation())});
    case job::Layer::kBottleneck:
      return std::make_unique<nn::Bottleneck>(
          nn::BottleneckOptions{.filters = layer.bottleneck().filters(),
                                .blocks = or_default<int64_t>(layer.bottleneck().blocks(), 1),
                                .stride = or_default<int64_t>(layer.bottleneck().stride(), 1)});
    case job::Layer::KIND_NOT_SET:
      break;
  }
  throw invalid_argument("a layer without a kind: expected e.g. dense { units: 10 }");
}

std::unique_ptr<nn::Layer> make_layer(const job::Layer& layer) {
  std::unique_ptr<nn::Layer> made = make_unnamed_layer(layer);
  if (!layer.name().empty()) made->set_name(layer.name());
  check_options(*made, made->type());
  return made;
}

nn::Schedule schedule(const job::Optimizer& optimizer, int64_t steps, const std::string& path) {
  const double rate = optimizer.learning_rate();
  switch (optimizer.schedule().kind_case()) {
    case job::Schedule::kStep: {
      const auto& step = optimizer.schedule().step();
      const double factor = or_default(step.factor(), 0.1);
      std::vector<double> values = {rate};
      for (int i = 0; i < step.boundaries_size(); ++i) values.push_back(values.back() * factor);
      return nn::step_rate({step.boundaries().begin(), step.boundaries().end()}, values);
    }
    case job::Schedule::kCosine: {
      const auto& cosine = optimizer.schedule().cosine();
      const int64_t whole = or_default(cosine.steps(), steps);
      if (whole <= cosine.warmup_steps() || cosine.warmup_steps() < 0 || cosine.minimum() < 0 ||
          cosine.minimum() > rate) {
        throw invalid_argument(path,
                               ": optimizer.schedule.cosine: expected warmup_steps below the ",
                               whole, " steps, and a minimum from 0 to the learning rate");
      }
      return nn::cosine_rate(rate, whole, cosine.warmup_steps(), cosine.minimum() / rate);
    }
    case job::Schedule::KIND_NOT_SET:
      break;
  }
  return nn::constant_rate(rate);
}

std::shared_ptr<const nn::Optimizer> make_optimizer(const job::Optimizer& optimizer, int64_t steps,
                                                    const std::string& path) {
  const nn::Schedule rate = schedule(optimizer, steps, path);
  switch (optimizer.kind_case()) {
    case job::Optimizer::kRmsprop:
      return std::make_shared<nn::RmsProp>(
          rate, rules::RmsProp{.rho = or_default(optimizer.rmsprop().rho(), 0.9),
                               .momentum = optimizer.rmsprop().momentum(),
                               .epsilon = or_default(optimizer.rmsprop().epsilon(), 1e-7)});
    case job::Optimizer::kAdagrad:
      return std::make_shared<nn::Adagrad>(
          rate, rules::Adagrad{.epsilon = or_default(optimizer.adagrad().epsilon(), 1e-7),
                               .initial_accumulator =
                                   or_default(optimizer.adagrad().initial_accumulator(), 0.1)});
    case job::Optimizer::kAdam:
      return std::make_shared<nn::Adam>(
          rate, rules::Adam{.beta1 = or_default(optimizer.adam().beta1(), 0.9),
                            .beta2 = or_default(optimizer.adam().beta2(), 0.999),
                            .epsilon = or_default(optimizer.adam().epsilon(), 1e-7),
                            .weight_decay = optimizer.adam().weight_decay()});
    default:
      return std::make_shared<nn::Sgd>(rate,
                                       rules::Sgd{.momentum = optimizer.sgd().momentum(),
                                                  .nesterov = optimizer.sgd().nesterov(),
                                                  .weight_decay = optimizer.sgd().weight_decay()});
  }
}

// Errors of `make` are about the job's layer `i`.
template <typename Make>
void at_layer(const JobFile& file, int i, Make make) {
  try {
    make();
  } catch (const Error& error) {
    throw Error(error.code(), str_cat(file.where_layer(i), "layer ", i + 1, ": ", error.what()));
  }
}

}  // namespace

nn::LayerList make_layers(const JobFile& file) {
  nn::LayerList made;
  for (const job::Layer& layer : file.job().model().layers()) {
    at_layer(file, static_cast<int>(made.size()), [&] { made.push_back(make_layer(layer)); });
  }
  return made;
}

void build_layers(nn::Model& model, const JobFile& file, const std::vector<TensorType>& features) {
  nn::LayerList layers = make_layers(file);
  for (size_t i = 0; i < layers.size(); ++i) {
    at_layer(file, static_cast<int>(i), [&] { model.add(std::move(layers[i])); });
  }
  try {
    model.build(features);
  } catch (const nn::LayerError& error) {
    throw Error(error.code(), file.where_layer(error.number() - 1) + error.what());
  }
}

nn::CompileOptions compile_options(const JobFile& file, int64_t steps,
                                   std::shared_ptr<const double> label_unit) {
  const job::Job& job = file.job();
  nn::CompileOptions options;
  try {
    options.optimizer = make_optimizer(job.optimizer(), steps, file.path());
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(file.path())) throw;
    throw Error(error.code(), file.path() + ": optimizer: " + error.what());
  }
  switch (job.loss()) {
    case job::BINARY_CROSS_ENTROPY:
      options.loss = nn::binary_cross_entropy();
      break;
    case job::MEAN_SQUARED_ERROR:
      options.loss = nn::mean_squared_error();
      break;
    default:
      options.loss = nn::sparse_categorical_cross_entropy();
      break;
  }
  for (int metric : job.metrics()) {
    if (metric == job::MEAN_ABSOLUTE_ERROR) {
      options.metrics.push_back(nn::mean_absolute_error());
    } else if (metric == job::AUC) {
      options.metrics.push_back(nn::area_under_curve_metric());
    } else {
      options.metrics.push_back(nn::accuracy(options.loss));
    }
  }
  if (label_unit) {
    options.loss = nn::in_label_units(std::move(options.loss), label_unit);
    for (nn::Metric& metric : options.metrics) {
      metric = nn::in_label_units(std::move(metric), label_unit);
    }
  }
  return options;
}

}  // namespace trireme
