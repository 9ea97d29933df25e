// Weights of another model, by name: transfer learning.
#pragma once

#include <string>
#include <vector>

#include "core/nn/model.h"
#include "core/nn/train_state.h"

namespace trireme::nn {

// Which names of the model become which of the file.
struct WeightMap {
  std::string pattern;      // a regular expression (ECMAScript) that a whole name matches
  std::string replacement;  // with $1 for what the first parentheses matched; empty: none
};

struct LoadOptions {
  std::vector<WeightMap> map = {};  // the first whose pattern matches counts; without any: the name
  bool strict = false;              // Error when a weight of the model is not found in its shape
};

struct LoadReport {
  struct OtherShape {
    std::string name;
    TensorType wanted, found;
  };
  std::vector<std::string> loaded, missing, left_out;  // of the model; left out by the map
  std::vector<OtherShape> other_shape;
  std::vector<std::string> unused;  // of the file; without slots and what a training keeps

  // "loaded 4 of 6 weights; not found: \"head/kernel\" …".
  std::string to_string() const;
};

// Whether a checkpoint's tensor of that name is a weight, and no slot or what a training keeps.
bool is_weight(const std::string& name);

// Sets those variables and moving averages of the model that `weights` has in the same type and
// shape. Throws Error{kInvalidArgument} for a pattern that is none, when no weight is found, and
// with `strict` when one is missing. REQUIRES: the model is built.
LoadReport load_weights(Model& model, const StateMap& weights, const LoadOptions& options = {});

}  // namespace trireme::nn
