// Evaluation and prediction: one device and the weights of a checkpoint.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "proto/job.pb.h"
#include "worker/result_line.h"
#include "worker/rows_checkpoint.h"
#include "worker/task.h"

namespace trireme {
namespace {

// Beside a checkpoint of a training with parameter servers lie the rows of its embeddings.
TaskUse use_of(const std::string& prefix) {
  return has_rows(prefix) ? TaskUse::kInferFromTables : TaskUse::kInfer;
}

void load(const std::string& prefix, Task& task) {
  task.model->set_weights(io::load_checkpoint(prefix));
  if (!has_rows(prefix)) return;
  const nn::Model& model = *task.model;
  auto store = std::make_shared<ps::LocalStore>(
      task.training_tables.embeddings(*model.compiled().optimizer, model.options().seed));
  load_rows(prefix, *store);
  task.tables->set(std::move(store));
}

}  // namespace

TaskResult evaluate(const JobFile& file, const TaskOptions& options,
                    const std::string& checkpoint) {
  const auto start = std::chrono::steady_clock::now();
  const std::string prefix = io::resolve_checkpoint(checkpoint);
  Task task(file, options, use_of(prefix));
  load(prefix, task);
  ResultLine line = {{"job", file.job().name()}, {"strategy", "one_device"}, {"workers", 1}};
  for (const auto& [name, value] : task.model->evaluate(task.validation_batches(0, 1))) {
    if (!std::isfinite(value) && !file.job().allow_nan()) {
      throw failed("evaluate: ", name, " is ", value,
                   ": the data or the weights of the checkpoint hold numbers that are not finite");
    }
    line["val_" + name] = rounded(value);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  line["seconds"] = rounded(elapsed.count());
  return {.json = line.dump()};
}

void predict(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
             int64_t limit, std::ostream& out) {
  const std::string prefix = io::resolve_checkpoint(checkpoint);
  Task task(file, options, use_of(prefix));
  load(prefix, task);
  data::Dataset examples = task.data.validation;
  if (limit > 0) examples = examples.take(limit);
  const Tensor predictions = task.model->predict(examples.batch(kEvaluationBatch));
  const int64_t rows = predictions.shape()[0];
  const int64_t width = rows == 0 ? 0 : predictions.elements() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> values;
    for (int64_t i = 0; i < width; ++i)
      values.push_back(rounded(predictions.as_double(row * width + i)));
    ResultLine line = {{"index", row}, {"prediction", values}};
    if (file.job().loss() == job::SPARSE_CATEGORICAL_CROSS_ENTROPY) {
      line["class"] = std::ranges::max_element(values) - values.begin();
    }
    out << line.dump() << "\n";
  }
  out << std::flush;
}

}  // namespace trireme
