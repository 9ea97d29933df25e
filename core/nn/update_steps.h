// What happens to gradients before a rule takes them, and to variables after it: the parts of
// UpdateOptions. Internal to core/nn.
#pragma once

#include "core/nn/optimizers.h"
#include "core/nn/train_graph.h"

namespace trireme::nn {

// How the updates of a step are counted and guarded.
struct UpdateClock {
  Value step;     // i64[], 1 for the first update
  Value only_if;  // bool[], false where nothing is to change; undefined: it always is
};

// The gradients become the averages of so many steps, which slots add up; the clock ticks once for
// them. Nothing where each step is an update.
UpdateClock accumulate_gradients(TrainGraph& graph, const Optimizer& optimizer);

// Clips the gradients, as they are after they were added up over all workers; those of copies of
// the variables on other devices by themselves, with the same result. Notes the norm of all of them
// before that as TrainGraph::gradient_norm where it is worked out anyway, or `needs_norm`.
void clip_gradients(TrainGraph& graph, const UpdateOptions& options, bool needs_norm);

// The moving average of the value that an update gave, and what brings the variable to it.
std::vector<Node*> average_weights(TrainGraph& graph, const Optimizer& optimizer,
                                   const VariableSpec& variable, const Update& update,
                                   Value new_value, const UpdateClock& clock);

// The slot of `optimizer` for a variable, or for a copy of one; made when it is not there.
Value slot_of(TrainGraph& graph, const Optimizer& optimizer, const SlotSpec& slot,
              const VariableSpec& variable);

}  // namespace trireme::nn
