// Evaluation and prediction: one device and the weights of a checkpoint.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/io/checkpoint.h"
#include "proto/job.pb.h"
#include "worker/result_line.h"
#include "worker/rows_checkpoint.h"
#include "worker/task.h"

namespace trireme {
namespace {

// A checkpoint, verified: beside one of a training with parameter servers lie the rows of its
// embeddings.
struct Checkpoint {
  explicit Checkpoint(const std::string& path)
      : prefix(io::resolve_checkpoint(path)), variables(io::load_checkpoint(prefix)) {
    verify_rows(prefix, variables);
    has_rows = rows_belong_to(prefix, variables);
  }

  TaskUse use() const { return has_rows ? TaskUse::kInferFromTables : TaskUse::kInfer; }
  void load(Task& task) const {
    task.model->set_weights(variables);
    if (!has_rows) return;
    const nn::Model& model = *task.model;
    auto store = std::make_shared<ps::LocalStore>(
        task.training_tables.embeddings(*model.compiled().optimizer, model.options().seed));
    load_rows(prefix, *store);
    task.tables->set(std::move(store));
  }

  std::string prefix;
  nn::StateMap variables;
  bool has_rows = false;
};

}  // namespace

TaskResult evaluate(const JobFile& file, const TaskOptions& options,
                    const std::string& checkpoint) {
  const auto start = std::chrono::steady_clock::now();
  const Checkpoint from(checkpoint);
  Task task(file, options, from.use());
  from.load(task);
  ResultLine line = {{"job", file.job().name()}, {"strategy", "one_device"}, {"workers", 1}};
  for (const auto& [name, value] : task.model->evaluate(task.validation_batches(0, 1))) {
    line["val_" + name] = rounded(value);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  line["seconds"] = rounded(elapsed.count());
  return {.json = line.dump()};
}

void predict(const JobFile& file, const TaskOptions& options, const std::string& checkpoint,
             int64_t limit, std::ostream& out) {
  const Checkpoint from(checkpoint);
  Task task(file, options, from.use());
  from.load(task);
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
