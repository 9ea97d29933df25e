#include "worker/build_model.h"

#include "core/base/error.h"
#include "core/nn/losses.h"
#include "core/nn/metrics.h"
#include "core/nn/optimizers.h"
#include "worker/job_file.h"

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

void build_layers(nn::Model& model, const JobFile& file, const std::vector<TensorType>& features) {
  nn::LayerList layers = file.make_layers();
  for (size_t i = 0; i < layers.size(); ++i) {
    at_layer(file, static_cast<int>(i), [&] { model.add(std::move(layers[i])); });
  }
  try {
    model.build(features);
  } catch (const nn::LayerError& error) {
    throw Error(error.code(), file.where_layer(error.number() - 1) + error.what());
  } catch (const Error& error) {
    if (!std::string_view(error.what()).starts_with("freeze: ")) throw;
    throw Error(error.code(), file.where("freeze") + error.what());
  }
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
  options.loss = file.loss().make();
  for (const auto& metric : file.metrics()) options.metrics.push_back(metric->make(options.loss));
  if (label_unit) {
    options.loss = nn::in_label_units(std::move(options.loss), label_unit);
    for (nn::Metric& metric : options.metrics) {
      metric = nn::in_label_units(std::move(metric), label_unit);
    }
  }
  return options;
}

}  // namespace trireme
