// Dynamic loss scaling, for gradients in f16 (Micikevicius et al. 2018; as Keras's
// LossScaleOptimizer does it): the loss is multiplied by a scale, so that small gradients do not
// become 0, and gradients are divided by it before they are applied.
//
// A step whose gradients are not all finite is skipped whole: no variable, slot or moving average
// changes, an optimizer's own count of steps neither, and the scale is halved. After a number of
// good steps it is doubled. All of this is in the graph; the state is in three variables that are
// saved like slots, and that a checkpoint of a training without them need not have. Gradients are
// looked at after they were added up over shards and workers, so that all decide alike.
#pragma once

#include <cstdint>

#include "core/graph/graph.h"

namespace trireme::nn {

struct TrainGraph;

struct LossScaleOptions {
  double initial = 32768;
  int64_t growth_steps = 2000;  // good ones, after which the scale is doubled
};

// The variables, all f32[], and what a step finds. All undefined when losses are not scaled.
struct LossScale {
  Value scale, good_steps, skipped_steps;
  Value all_finite;  // bool[]
};

// Adds the variables. Comes before the gradients.
void add_loss_scale(TrainGraph& graph, const LossScaleOptions& options);

// The loss that gradients are taken of: `loss` itself when losses are not scaled.
Value scaled_loss(const TrainGraph& graph, Value loss);

// Divides the gradients by the scale, and adds what finds out whether all are finite and what
// moves the scale. Comes after gradients are reduced, before the updates.
void unscale_gradients(TrainGraph& graph, const LossScaleOptions& options);

// The number of the step for optimizers: those that were skipped do not count.
Value applied_step(const TrainGraph& graph);

}  // namespace trireme::nn
