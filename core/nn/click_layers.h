// Layers for click logs: whole models over the two features of data::click_spec(), numbers
// f32[batch, n] and keys [batch, k] of one table: two inputs, or one, the numbers, and then the
// keys are the data's second component. Each is a network of ordinary layers, and gives one logit
// an example, [batch, 1].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layers.h"

namespace trireme::nn {

// Hidden layers in a row, each a Dense with a rectifier.
using HiddenUnits = std::vector<int64_t>;

// Naumov et al. 2019. The bottom network turns the numbers into one more vector of `dimension`; the
// dot products of all pairs of the 1 + k vectors, beside that vector, are the top network's input.
struct DlrmOptions {
  int64_t rows = 0;             // of the table of keys; must be given
  int64_t dimension = 16;       // of a key's vector
  HiddenUnits bottom = {64};    // before its last layer, of `dimension` units
  HiddenUnits top = {128, 64};  // before the logit
  std::optional<TablePolicy> table = {};
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Dlrm : public LayerOf<DlrmOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "dlrm"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// Cheng et al. 2016. The wide part is linear: a weight for each key and for each number. The deep
// part is a network over the numbers and the keys' vectors side by side. Their sum is the logit.
struct WideDeepOptions {
  int64_t rows = 0;                       // of the table of keys; must be given
  int64_t dimension = 8;                  // of a key's vector
  HiddenUnits deep = {128, 64};           // before the logit
  std::optional<TablePolicy> table = {};  // of each of the two tables
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class WideDeep : public LayerOf<WideDeepOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "wide_deep"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

}  // namespace trireme::nn
