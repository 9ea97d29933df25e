// A TrainGraph: what one training step computes, before it is decided where.
//
// It is built in three parts that are functions of their own: forward pass and loss, gradients,
// updates. A strategy is a rewrite between the last two (it puts an all-reduce behind each
// gradient), or after them (it moves updates to a server).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/graph/gradient_context.h"
#include "core/nn/layer.h"
#include "core/nn/loss_scale.h"
#include "core/nn/losses.h"
#include "core/nn/metrics.h"

namespace trireme::nn {

class Optimizer;

struct NamedValue {
  std::string name;
  Value value;
};

// A metric of a pass: a mean over the batch, f32[], or with `by_row` what Metric::kind makes a
// figure of, a row for each example.
struct MetricValue {
  std::string name;
  Value value;
  bool by_row = false;
};

// One pass over a model. The loss is a mean over the batch plus what layers added, f32[]. Undefined
// without labels.
struct Forward {
  std::vector<Value> features;  // placeholders, one for each component of the data but the last
  Value labels;                 // placeholder
  Value random_key;  // placeholder, i64[2] {step, global index of the first example}; training only
  Value predictions;
  std::vector<Value> other_predictions;  // of the model's outputs behind the first
  std::vector<AddedLoss> added_losses;   // of layers
  Value loss;
  std::vector<MetricValue> metrics;
  std::vector<NamedValue> outputs;             // of each layer
  std::vector<MovingAverage> moving_averages;  // training only
};

struct Update {
  Value variable;
  Gradient gradient;
  Node* apply = nullptr;                // set by add_updates
  std::vector<Node*> after_apply = {};  // what follows from the new value; set by add_updates
  // What a message about this process's own gradient shows, when `gradient` is that of all workers.
  Value local_gradient;
  // The variable is updated elsewhere, where one of TrainGraph::pushes sends the gradient.
  bool is_remote = false;
};

struct TrainGraph {
  Graph* graph = nullptr;
  VariableRegistry* variables = nullptr;
  Forward forward;
  Value learning_rate, step;  // placeholders: f32[], and i64[] that is 1 in the first step
  std::vector<Update> updates;
  // Of the loss with respect to all variables, f32[], before it is clipped; undefined: nobody needs
  // it.
  Value gradient_norm;
  bool needs_gradient_norm = false;
  // Borrowed; what strategies that update variables elsewhere have to look at.
  const Optimizer* optimizer = nullptr;
  LossScale loss_scale;
  std::vector<Node*> state_updates;  // of what training itself keeps: the loss scale
  std::vector<Node*> pushes;         // what sends gradients to where rows and variables are kept

  // Of a strategy that cuts the batch into k shards; undefined when there is none. Placeholders
  // i64[k, 2], a random key for each, and f32[k], its share of the examples of all workers; `vote`,
  // f32[], is summed over the workers: `votes`.
  Value shard_keys, shard_weights, vote, votes;
  // With metrics by row: i64[rows of this process], where each row is in the metrics' values, which
  // have row 0 for what is no example, and one for each example of the global batch behind it; and
  // f32[rows of the global batch + 1, 2], which lends its shape.
  Value row_places, row_shape;

  // What a step runs for its effect: all apply nodes, state updates and pushes.
  std::vector<Node*> targets() const;
};

// Changes a training graph in place. Owned by whoever runs the strategy.
using TrainGraphRewrite = std::function<void(TrainGraph&)>;

// Adds loss and metrics to a pass that has predictions and labels.
void add_loss(Forward& forward, const Loss& loss, const std::vector<Metric>& metrics);

// Of the loss and the metrics.
RunningMeans running_means(const Loss& loss, const std::vector<Metric>& metrics);

// Adds an update for each trainable variable that the loss depends on. Throws
// Error{kInvalidArgument} when there is none.
void add_gradients(TrainGraph& graph);

// Adds slots and apply nodes for the gradients as they are now, constraints, and the nodes of
// moving averages.
void add_updates(TrainGraph& graph, const Optimizer& optimizer);

}  // namespace trireme::nn
