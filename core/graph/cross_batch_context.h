// What an op's cross-batch form (OpDef::cross_batch) sees: the node whose outputs it builds, and
// how to take a mean over a batch of which each of several processes or devices has a part.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

class CrossBatchContext {
 public:
  // From the mean over this part of the batch, the mean over all parts, weighted by their examples.
  // `what` tells the means of one node apart and is in messages.
  using Mean = std::function<Value(Value mean_of_part, std::string_view what)>;

  // `inputs`: those of `node`, of this part of the batch.
  CrossBatchContext(const Node& node, std::vector<Value> inputs, Mean mean)
      : node_(node),
        inputs_(std::move(inputs)),
        mean_(std::move(mean)),
        outputs_(static_cast<size_t>(node.output_count())) {}

  Value input(int i) const { return inputs_.at(static_cast<size_t>(i)); }
  template <typename T>
  const T& attribute(std::string_view name) const {
    return node_.attribute<T>(name);
  }
  Value batch_mean(Value mean_of_part, std::string_view what) const {
    return mean_(mean_of_part, what);
  }

  // All outputs must be set.
  void set_output(int i, Value value) { outputs_.at(static_cast<size_t>(i)) = value; }
  const std::vector<Value>& outputs() const { return outputs_; }

 private:
  const Node& node_;
  std::vector<Value> inputs_;
  Mean mean_;
  std::vector<Value> outputs_;
};

}  // namespace trireme
