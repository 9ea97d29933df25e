// One step of training or of evaluation: feeds a batch, runs one Function, and has the loss and
// metrics of that batch.
//
// Steps with known batch sizes allocate nothing here: tensors are used again. One thread; dies
// before its session.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/train_graph.h"
#include "core/runtime/session.h"

namespace trireme::nn {

// A part of the batch that is computed by itself.
struct BatchShard {
  int64_t first_example = 0;  // index in the global batch of its first row
  double weight = 1;          // its share of the examples of the global batch
};

struct StepInputs {
  int64_t step = 0;  // taken before this one
  double learning_rate = 0;
  std::span<const BatchShard> shards = {};  // of a strategy; else the whole batch is one
  int64_t global_rows = 0;                  // of a strategy: examples of the global batch
  float vote = 0;                           // see TrainGraph::vote
};

class StepFunction {
 public:
  StepFunction(Session& session, const TrainGraph& graph);  // with updates
  StepFunction(Session& session, const Forward& forward);   // without

  // REQUIRES: `batch` is as Forward::data(). Its tensors are borrowed for the call,
  // not shared, so that the iterator can write over them. Throws what Function::run throws.
  // `next`: the batch of the next step, to be copied to a GPU meanwhile; null: not known.
  // `prefetched`: `batch` is what the last step got as `next`.
  void run(data::Element& batch, const StepInputs& inputs = {}, const data::Element* next = nullptr,
           bool prefetched = false);

  // Of the batch that ran last, as RunningMeans::add() takes them: the loss, then the metrics that
  // are means or sums; and the rows of the others.
  std::span<const double> values() const { return values_; }
  std::span<const Tensor> rows() const { return rows_; }
  int64_t examples() const { return examples_; }
  float votes() const { return votes_; }  // of all workers
  // Of the last step; nothing when the graph does not work it out.
  std::optional<double> gradient_norm() const { return gradient_norm_; }
  const Function& function() const { return *function_; }

 private:
  void prepare(Session& session, const Forward& forward, const std::vector<Value>& extra_feeds,
               const std::vector<Value>& extra_fetches, std::vector<Node*> targets);
  void fill(const StepInputs& inputs);
  void fill_places(const StepInputs& inputs);

  std::unique_ptr<Function> function_;
  // The batch; in training also rate, step, keys, weights, vote, places of rows.
  std::vector<Tensor> feeds_;
  size_t data_feeds_ = 0;     // so many of them are the batch
  size_t value_fetches_ = 0;  // so many results are the loss and the metrics
  std::vector<Tensor> results_;
  std::vector<bool> by_row_;  // of each of these
  std::vector<double> values_;
  std::vector<Tensor> rows_;
  int64_t examples_ = 0;
  bool has_shards_ = false, has_places_ = false;
  float votes_ = 0;
  bool has_norm_ = false;
  std::optional<double> gradient_norm_;
};

}  // namespace trireme::nn
