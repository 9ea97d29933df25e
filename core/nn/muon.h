#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/nn/whole_variable_optimizers.h"

namespace trireme::nn {

struct MuonOptions {
  double momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0.004, rms_rate = 0.2;
  int64_t ns_steps = 5;
  double muon_a = 3.4445, muon_b = -4.7750, muon_c = 2.0315;
  // Of what is no matrix, an embedding, or excluded: those have AdamW.
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_weight_decay = 0.004, epsilon = 1e-7;
  double adam_lr_ratio = 1;
  bool exclude_embeddings = true;
  std::vector<std::string> exclude_layers;  // patterns, see frozen.h

  void describe(OptionVisitor& visitor);
};

// Momentum whose matrices are made orthogonal by a few steps of Newton and Schulz (Jordan et al.
// 2024; Liu et al. 2025), as in Keras; other variables have AdamW.
class Muon : public WholeVariableOptimizer {
 public:
  static constexpr RuleInfo kInfo{.name = "muon",
                                  .keras = "Muon",
                                  .help =
                                      "Momentum of matrices made orthogonal; AdamW for the "
                                      "other variables."};
  using Options = MuonOptions;
  explicit Muon(Schedule learning_rate = nullptr, MuonOptions options = {},
                UpdateOptions update = {});
  void describe(OptionVisitor& visitor) override { options_.describe(visitor); }
  std::vector<SlotSpec> slots_of(std::string_view variable, const Shape& shape) const override;
  std::vector<Node*> apply(const UpdateInputs& inputs, std::string_view variable) const override;

 private:
  bool has_adamw(std::string_view variable, const Shape& shape) const;
  Value orthogonal(Value matrix) const;

  MuonOptions options_;
};

}  // namespace trireme::nn
