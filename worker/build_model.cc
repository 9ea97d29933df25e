#include "worker/build_model.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/losses.h"
#include "core/nn/metrics.h"
#include "core/nn/optimizers.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"
#include "worker/model_text.h"

namespace trireme {
namespace {

// Errors of `work` say which layer of the job they are about.
template <typename Work>
void at_layer(const JobFile& file, int index, Work work) {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.code(),
                str_cat(file.where_layer(index), "layer ", index + 1, ": ", error.what()));
  }
}

}  // namespace

void add_layers(nn::Model& model, const JobFile& file) {
  nn::LayerList layers = file.make_layers();
  for (size_t i = 0; i < layers.size(); ++i) {
    at_layer(file, static_cast<int>(i), [&] { model.add(std::move(layers[i])); });
  }
  std::vector<std::string> outputs;
  for (size_t i = 0; i < file.outputs().size(); ++i) {
    const std::string& layer = file.outputs()[i].layer;
    const auto is_it = [&](const auto& known) { return known->name() == layer; };
    if (std::ranges::none_of(model.layers(), is_it)) {
      const std::string field = str_cat("outputs[", i, "].layer");
      throw invalid_argument(file.where(field), field, ": there is no layer \"", layer,
                             "\"; give one that name");
    }
    if (std::ranges::find(outputs, layer) == outputs.end()) outputs.push_back(layer);
  }
  model.set_outputs(outputs);
}

void with_places(const JobFile& file, const std::function<void()>& work) {
  try {
    work();
  } catch (const nn::LayerError& error) {
    throw Error(error.code(), file.where_layer(error.number() - 1) + error.what());
  } catch (const Error& error) {
    const std::string message = error.what();
    if (!message.starts_with("freeze: ")) throw;
    const auto is_about = [&](const std::string& pattern) {
      return message.find(str_cat("\"", pattern, "\"")) != std::string::npos;
    };
    const auto rethrow = [&](const auto& patterns, const char* field) {
      for (int i = 0; i < patterns.size(); ++i) {
        if (!is_about(patterns[i])) continue;
        throw Error(error.code(), file.where(str_cat(field, "[", i, "]")) + message);
      }
    };
    rethrow(file.job().freeze(), "freeze");
    if (const auto weights = initial_weights_of(file)) {
      rethrow(weights->freeze(), "model.weights.freeze");
    }
    throw Error(error.code(), file.where("freeze") + message);
  }
}

void build_layers(nn::Model& model, const JobFile& file, const std::vector<TensorType>& features) {
  add_layers(model, file);
  with_places(file, [&] { model.build(features); });
}

nn::CompileOptions compile_options(const JobFile& file, int64_t steps,
                                   std::shared_ptr<const double> label_unit) {
  nn::CompileOptions options;
  std::shared_ptr<nn::Optimizer> optimizer = file.make_optimizer();
  try {
    optimizer->plan_schedule(steps);
  } catch (const Error& error) {
    throw Error(error.code(),
                file.where("optimizer.schedule") + "optimizer.schedule: " + error.what());
  }
  options.optimizer = std::move(optimizer);
  for (const job::ClassWeight& one : file.job().class_weight()) {
    if (!options.class_weights.emplace(one.label(), one.weight()).second) {
      throw invalid_argument(file.path(), ": class_weight: class ", one.label(),
                             " has two weights");
    }
  }
  const auto make_all = [](const auto& wanted, const nn::Loss& loss) {
    std::vector<nn::Metric> metrics;
    for (const auto& metric : wanted) {
      metrics.push_back(metric->make(loss));
      if (!metric->name().empty()) metrics.back().name = metric->name();
    }
    return metrics;
  };
  for (const JobOutput& output : file.outputs()) {
    nn::OutputLoss made{.output = output.layer,
                        .loss = output.loss->make(),
                        .weight = output.weight,
                        .labels = output.labels};
    made.metrics = make_all(output.metrics, made.loss);
    made.weighted_metrics = make_all(output.weighted_metrics, made.loss);
    options.outputs.push_back(std::move(made));
  }
  if (!options.outputs.empty()) return options;
  options.loss = file.loss().make();
  options.metrics = make_all(file.metrics(), options.loss);
  options.weighted_metrics = make_all(file.weighted_metrics(), options.loss);
  if (label_unit) {
    options.loss = nn::in_label_units(std::move(options.loss), label_unit);
    for (auto* const metrics : {&options.metrics, &options.weighted_metrics}) {
      for (nn::Metric& metric : *metrics) {
        metric = nn::in_label_units(std::move(metric), label_unit);
      }
    }
  }
  return options;
}

}  // namespace trireme
