#include "worker/train_task.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/graph/serialize.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/nn/callbacks.h"
#include "core/nn/model.h"
#include "proto/job.pb.h"
#include "worker/build_data.h"
#include "worker/build_model.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Validation runs without gradients, so a larger batch costs no more memory than a training step.
constexpr int64_t kEvaluationBatch = 256;

SessionOptions session_options(const TaskOptions& options) {
  if (options.device != "cpu" && options.device != "reference") {
    throw invalid_argument("--device ", options.device, ": this build has cpu and reference");
  }
  return {.devices = make_device_set(options.device, options.cpu_devices),
          .log_device_placement = options.log_device_placement};
}

// What a task works with: data in memory and a built and compiled model.
struct Task {
  const JobFile& file;
  const TaskOptions& options;
  JobData data;
  int64_t steps_per_epoch = 0;
  std::unique_ptr<nn::Model> model;

  Task(const JobFile& job_file, const TaskOptions& task_options)
      : file(job_file),
        options(task_options),
        data((set_compute_threads(task_options.threads),
              build_data(job_file.job().data(), task_options.data_dir))) {
    const job::Job& job = file.job();
    steps_per_epoch = (data.train.cardinality() + job.batch_size() - 1) / job.batch_size();
    if (job.steps_per_epoch() > 0) steps_per_epoch = job.steps_per_epoch();
    model = std::make_unique<nn::Model>(nn::ModelOptions{
        .name = job.name(), .seed = job.seed(), .session = session_options(options)});
    const data::Dataset batches = train_batches();
    build_layers(*model, file, nn::batch_types(batches, 2)[0]);
    model->compile(compile_options(file, steps_per_epoch * job.epochs()));
  }

  data::Dataset train_batches() const {
    const job::Job& job = file.job();
    data::Dataset train = data.train;
    if (!job.data().keep_order()) train = train.shuffle(job.seed());
    return train.repeat().batch(job.batch_size());
  }
  data::Dataset validation_batches() const { return data.validation.batch(kEvaluationBatch); }
};

std::string checkpoint_directory(const job::Job& job) {
  return (fs::path(job.output_dir()) / "checkpoints").string();
}

std::vector<std::shared_ptr<nn::Callback>> make_callbacks(const job::Job& job,
                                                          const TaskOptions& options) {
  std::vector<std::shared_ptr<nn::Callback>> callbacks;
  if (options.stop != nullptr) callbacks.push_back(std::make_shared<nn::StopFlag>(options.stop));
  callbacks.push_back(
      std::make_shared<nn::CsvLog>((fs::path(job.output_dir()) / "log.csv").string()));
  if (job.early_stopping().patience() > 0) {
    const std::string monitor =
        job.early_stopping().monitor().empty() ? "val_loss" : job.early_stopping().monitor();
    callbacks.push_back(std::make_shared<nn::EarlyStopping>(
        nn::EarlyStoppingOptions{.monitor = monitor,
                                 .patience = job.early_stopping().patience(),
                                 .min_delta = job.early_stopping().min_delta(),
                                 .higher_is_better = monitor.ends_with("accuracy"),
                                 .restore_best_weights = job.early_stopping().restore_best()}));
  }
  // Last, so that it saves what the others remember of this step.
  if (!job.checkpoint().off()) {
    callbacks.push_back(std::make_shared<nn::CheckpointCallback>(
        nn::CheckpointCallbackOptions{.directory = checkpoint_directory(job),
                                      .every_steps = job.checkpoint().every_steps(),
                                      .keep_last = job.checkpoint().keep()}));
  }
  return callbacks;
}

// Results stay readable: six significant digits.
double rounded(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return std::strtod(text.str().c_str(), nullptr);
}

}  // namespace

TaskResult train(const JobFile& file, const TaskOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const job::Job& job = file.job();
  Task task(file, options);
  if (!options.quiet) {
    std::cerr << task.data.description << "\n" << task.model->summary() << std::flush;
  }
  nn::FitOptions fit{.epochs = job.epochs(),
                     .steps_per_epoch = task.steps_per_epoch,
                     .validation = task.validation_batches(),
                     .callbacks = make_callbacks(job, options),
                     .allow_nan = job.allow_nan()};
  if (options.quiet) fit.progress = {};
  const std::string checkpoints = checkpoint_directory(job);
  if (options.resume) {
    if (io::list_checkpoints(checkpoints).empty()) {
      throw not_found("--resume: there is no checkpoint in ", checkpoints,
                      "; train without --resume first");
    }
    const std::string prefix = io::resolve_checkpoint(checkpoints);
    fit.resume = io::load_checkpoint(prefix);
    if (!options.quiet) std::cerr << "going on from " << prefix << "\n";
  }
  const data::Dataset batches = task.train_batches();
  if (!options.save_graph.empty()) {
    const auto types = nn::batch_types(batches, 2);
    task.model->build_training(types[0], types[1]);
    io::write_file_atomically(options.save_graph, serialize(task.model->graph()));
  }
  fs::create_directories(job.output_dir());
  const nn::History history = task.model->fit(batches, std::move(fit));

  Json line = {{"job", job.name()},
               {"strategy", "one_device"},
               {"workers", 1},
               {"epochs", history.epochs},
               {"steps", history.steps}};
  for (const char* key : {"loss", "accuracy", "val_loss", "val_accuracy", "mean_absolute_error",
                          "val_mean_absolute_error"}) {
    const auto found = history.values.find(key);
    if (found != history.values.end() && !found->second.empty())
      line[key] = rounded(found->second.back());
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  line["seconds"] = rounded(elapsed.count());
  TaskResult result{.json = line.dump()};
  if (options.stop != nullptr && *options.stop && !history.stop_reason.empty()) {
    result.stopped = true;
    result.where =
        str_cat("stopped after step ", history.steps, "; ",
                job.checkpoint().off() ? "nothing was saved, because checkpoints are off"
                                       : "saved in " + checkpoints + ", go on with --resume");
  }
  return result;
}

TaskResult evaluate(const JobFile& file, const TaskOptions& options,
                    const std::string& checkpoint) {
  const auto start = std::chrono::steady_clock::now();
  Task task(file, options);
  task.model->set_weights(io::load_checkpoint(checkpoint));
  Json line = {{"job", file.job().name()}, {"strategy", "one_device"}, {"workers", 1}};
  for (const auto& [name, value] : task.model->evaluate(task.validation_batches())) {
    line["val_" + name] = rounded(value);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  line["seconds"] = rounded(elapsed.count());
  return {.json = line.dump()};
}

void predict(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
             int64_t limit, std::ostream& out) {
  Task task(file, options);
  task.model->set_weights(io::load_checkpoint(checkpoint));
  data::Dataset examples = task.data.validation;
  if (limit > 0) examples = examples.take(limit);
  const Tensor predictions = task.model->predict(examples.batch(kEvaluationBatch));
  const int64_t rows = predictions.shape()[0];
  const int64_t width = rows == 0 ? 0 : predictions.elements() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> values;
    for (int64_t i = 0; i < width; ++i)
      values.push_back(rounded(predictions.as_double(row * width + i)));
    Json line = {{"index", row}, {"prediction", values}};
    if (file.job().loss() == job::SPARSE_CATEGORICAL_CROSS_ENTROPY) {
      line["class"] = std::ranges::max_element(values) - values.begin();
    }
    out << line.dump() << "\n";
  }
  out << std::flush;
}

}  // namespace trireme
