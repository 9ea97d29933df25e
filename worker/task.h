// What a task works with: data in memory, a strategy, and a built and compiled model. Private to
// worker/.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/nn/model.h"
#include "core/runtime/tracer.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/strategy.h"
#include "ps/ops/table_store.h"
#include "ps/ops/training_tables.h"
#include "worker/build_data.h"
#include "worker/job_file.h"
#include "worker/train_task.h"

namespace trireme {

// Validation runs without gradients, so a larger batch costs no more memory than a training step.
inline constexpr int64_t kEvaluationBatch = 256;

enum class TaskUse {
  kTrain,
  kInfer,            // evaluation and prediction: one device, and nobody else
  kInferFromTables,  // the same, where the rows of embeddings are in Task::tables
};

struct Task {
  const JobFile& file;
  const TaskOptions& options;
  ClusterSpec cluster;
  std::string run;  // the id of this launch of the job, for its checkpoints; empty: needs none
  std::shared_ptr<DeviceSet> devices;
  std::shared_ptr<CommunicatorSlots> slots = std::make_shared<CommunicatorSlots>();
  // With parameter servers: where rows are pulled from, and which tables the model has.
  std::shared_ptr<ps::TableStoreSlot> tables = std::make_shared<ps::TableStoreSlot>();
  ps::TrainingTables training_tables;
  const StrategyDef* strategy_def = nullptr;  // the job's; null unless the task trains
  std::unique_ptr<Strategy> strategy;         // null: one device does the whole batch
  JobData data;
  std::string own_preprocessing;  // what this task's files decided, whatever a checkpoint says
  int64_t steps_per_epoch = 0;
  std::shared_ptr<Tracer> tracer;  // null without --timeline
  std::unique_ptr<nn::Model> model;

  // `given`: the data and the preprocessing of an evaluation or a prediction; nothing: those of the
  // job. Throws Error{kInvalidArgument} when strategy and cluster do not fit.
  Task(const JobFile& job_file, const TaskOptions& task_options, TaskUse use,
       std::optional<JobData> given = std::nullopt);
  Task(const Task&) = delete;

  // Prepares the data as `state`, a checkpoint's tensors or another worker's, says, where the job's
  // files would decide otherwise. `source` is for messages.
  void take_preprocessing(const nn::StateMap& state, const std::string& source);

  // The part of worker `rank` of `workers` of each batch, for as many epochs as one likes.
  data::Dataset train_batches(int rank, int workers) const;
  data::Dataset validation_batches(int rank, int workers) const;
  // Of all workers.
  int64_t train_examples() const { return data.train.cardinality() * data.parts; }
  // Examples of the global batch at this position of train_batches().
  int64_t global_rows(int64_t batch) const;
  // Those of them that worker `rank` of `workers` has.
  int64_t own_rows(int64_t batch, int rank, int workers) const;
  // With other workers, by collectives.
  bool communicates() const {
    return strategy && strategy->communicates() && !cluster.is_single_process();
  }
  bool uses_servers() const { return strategy_def != nullptr && strategy_def->uses_servers; }

 private:
  // On threads of their own, where the job asks for them.
  data::Dataset read_ahead(const data::Dataset& batches) const;

  // What a label of 1 is in its column's units; null: labels are not scaled.
  std::shared_ptr<double> label_unit_;
  DeviceCollectives mirrored_gpus() const;
};

}  // namespace trireme
