// Optimizers whose step depends on a whole variable: on its norm, on means over its rows, on
// products of matrices. They are no rules of one element (core/rules) but graphs of ops, whose new
// values are assigned; a sparse gradient is made dense. What keeps variables in pieces elsewhere
// (parameter servers) refuses them.
#pragma once

#include <string_view>
#include <vector>

#include "core/nn/optimizers.h"

namespace trireme::nn {

class WholeVariableOptimizer : public Optimizer {
 public:
  std::vector<SlotSpec> slots() const override;
  UpdateOp update_op() const override;

 protected:
  using Optimizer::Optimizer;
};

struct LambOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, weight_decay = 0;
};
// Adam whose step is scaled to the size of the variable (You et al. 2020, as in Keras: without the
// decay in what is scaled).
class Lamb : public WholeVariableOptimizer {
 public:
  using Options = LambOptions;
  explicit Lamb(Schedule learning_rate = nullptr, LambOptions options = {},
                UpdateOptions update = {});
  void describe(OptionVisitor& visitor) override;
  std::vector<SlotSpec> slots_of(std::string_view variable, const Shape& shape) const override;
  std::vector<Node*> apply(const UpdateInputs& inputs, std::string_view variable) const override;

 private:
  LambOptions options_;
};

struct LarsOptions {
  double momentum = 0.9, weight_decay = 1e-4, trust_coefficient = 0.001, epsilon = 0;
  bool nesterov = false;
};
// Momentum whose step is scaled to the size of the variable (You et al. 2017): g + weight_decay·w
// times trust_coefficient·|w| / (|g| + weight_decay·|w| + epsilon). Variables that do not decay are
// not scaled either.
class Lars : public WholeVariableOptimizer {
 public:
  using Options = LarsOptions;
  explicit Lars(Schedule learning_rate = nullptr, LarsOptions options = {},
                UpdateOptions update = {});
  void describe(OptionVisitor& visitor) override;
  void check() const override;
  std::vector<SlotSpec> slots_of(std::string_view variable, const Shape& shape) const override;
  std::vector<Node*> apply(const UpdateInputs& inputs, std::string_view variable) const override;

 private:
  rules::Sgd rule() const;
  LarsOptions options_;
};

struct AdafactorOptions {
  double beta2_decay = -0.8, epsilon1 = 1e-30, epsilon2 = 1e-3, clip_threshold = 1;
  double weight_decay = 0;
};
// Squares of gradients as products of means over rows and columns (Shazeer and Stern 2018): slots
// of a matrix are as large as a row and a column of it.
class Adafactor : public WholeVariableOptimizer {
 public:
  using Options = AdafactorOptions;
  explicit Adafactor(Schedule learning_rate = nullptr, AdafactorOptions options = {},
                     UpdateOptions update = {});
  void describe(OptionVisitor& visitor) override;
  std::vector<SlotSpec> slots_of(std::string_view variable, const Shape& shape) const override;
  std::vector<Node*> apply(const UpdateInputs& inputs, std::string_view variable) const override;

 private:
  AdafactorOptions options_;
};

void register_whole_variable_optimizers(Catalog<Optimizer>& catalog);

}  // namespace trireme::nn
