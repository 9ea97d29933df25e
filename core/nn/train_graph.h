// A TrainGraph: what one training step computes, before it is decided where.
//
// It is built in three parts that are functions of their own: forward pass and loss, gradients,
// updates. A strategy is a rewrite between the last two (it puts an all-reduce behind each
// gradient), or after them (it moves updates to a server).
#pragma once

#include <functional>
#include <span>
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

// One pass over a model. The loss is a mean over the batch plus what layers added, f32[]. Undefined
// without labels.
struct Forward {
  std::vector<Value> features;  // placeholders, one for each component of the data but the labels
  std::vector<Value> labels;    // placeholders, one for each component of labels
  Value sample_weights;         // placeholder f32[batch]; undefined: the data has none
  Value random_key;  // placeholder, i64[2] {step, global index of the first example}; training only
  Value predictions;
  std::vector<Value> other_predictions;  // of the model's outputs behind the first
  std::vector<AddedLoss> added_losses;   // of layers
  std::vector<Value> masks;              // BuildContext::mask() of each output
  Value loss;
  // f32[], what the loss is a mean over, where that is no multiple of the examples: the elements
  // that a mask leaves. Undefined: the examples.
  Value loss_weight;
  RunningMeans::Quantity loss_quantity;
  std::vector<MetricValue> metrics;
  std::vector<NamedValue> outputs;             // of each layer
  std::vector<MovingAverage> moving_averages;  // training only

  // What a batch is fed to: features, labels and weights.
  std::vector<Value> data() const;
};

// What a loss and its metrics are of.
struct LossInputs {
  Value predictions, labels;
  Value mask = {};            // bool, of each example or element of the predictions; undefined: all
  Value sample_weights = {};  // f32[batch]; undefined: 1
  Value class_weights = {};   // f32[classes]; undefined: 1
};

// The loss of one output: of the model's first, when `output` is empty.
struct OutputLoss {
  std::string output;  // the name of its layer
  Loss loss;
  double weight = 1;  // of this loss in the sum of all
  std::vector<Metric> metrics = {};
  std::vector<Metric> weighted_metrics = {};  // where examples count as much as in the loss
  // The component of the data; empty: the first behind the features that no other output has.
  std::string labels = {};
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

// Adds the losses and metrics of a pass, one for each of `inputs`. Where there are several, the
// loss is the sum of all times their weights, and "OUTPUT_loss" and "OUTPUT_accuracy" are metrics.
void add_losses(Forward& forward, std::span<const OutputLoss> outputs,
                std::span<const LossInputs> inputs);

// Of the loss and the metrics.
RunningMeans running_means(const Forward& forward);

// Adds an update for each trainable variable that the loss depends on. Throws
// Error{kInvalidArgument} when there is none.
void add_gradients(TrainGraph& graph);

// Adds slots and apply nodes for the gradients as they are now, constraints, and the nodes of
// moving averages.
void add_updates(TrainGraph& graph, const Optimizer& optimizer);

}  // namespace trireme::nn
