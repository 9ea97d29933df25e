// Which numbers a model's last layer can give, from the ops that it ends with.
#pragma once

#include <optional>
#include <string>

#include "core/graph/graph.h"
#include "core/nn/losses.h"

namespace trireme::nn {

struct OutputRange {
  double low, high;  // infinite where there is no bound
};

// What is known without running the graph: an activation bounds, ops that move or add up numbers
// keep bounds, all others have none.
OutputRange output_range(Value value);

// Whether `predictions` are probabilities of what the loss's labels are: because the loss takes
// such, or because the model ends with softmax, or a sigmoid where a label is a number from 0 to 1.
bool gives_probabilities(const Loss& loss, Value predictions);

// Why `predictions` are no logits, for a loss that takes logits; nothing when they may be any
// numbers. `layer`: how the last layer is called in the message.
std::optional<std::string> why_not_logits(const Loss& loss, Value predictions,
                                          const std::string& layer);

}  // namespace trireme::nn
