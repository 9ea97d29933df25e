// Optimizers: which slots a variable has, and the node that updates it. What they compute is a rule
// (core/rules), so that kernels and parameter servers do the same.
//
// Immutable once trained with; any thread. Constructors throw Error{kInvalidArgument} for options
// that make no sense.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/nn/schedules.h"
#include "core/ops/update.h"
#include "core/rules/core_rules.h"

namespace trireme::nn {

using ops::UpdateInputs;
using trireme::SlotSpec;

// The slot with a variable's moving average, of UpdateOptions::use_ema.
inline constexpr std::string_view kAverageSlot = "ema";

// "optimizer/adam/m/dense/kernel".
std::string slot_name(std::string_view optimizer, std::string_view slot, std::string_view variable);

// What all optimizers can do beside their rule. As in Keras, whose names these are.
struct UpdateOptions {
  // One of the three at most. Of the gradient of all workers, after it was added up: the norm of
  // each variable's, the magnitude of each number, the norm of all variables' together.
  std::optional<double> clipnorm, clipvalue, global_clipnorm;
  // Which weights decay, where the rule lets them.
  enum class Decay { kAll, kKernels } decay = Decay::kAll;  // kKernels: of rank 2 and more
  std::vector<std::string> exclude_from_weight_decay;       // patterns, see frozen.h
  bool use_ema = false;  // keeps moving averages of the variables
  double ema_momentum = 0.99;
  int64_t ema_overwrite_frequency = 0;  // steps between assignments of them; 0: none
  // Steps whose gradients are averaged into one update.
  int64_t gradient_accumulation_steps = 1;

  bool clips() const { return clipnorm || clipvalue || global_clipnorm; }
};

class Optimizer : public Component {
 public:
  static constexpr std::string_view kFamily = "optimizer";

  const std::string& name() const { return name_; }  // "adam"
  // `step`: how many steps were taken before.
  double learning_rate(int64_t step) const;
  const UpdateOptions& update_options() const { return update_options_; }
  bool has_schedule() const { return schedule_options_ != nullptr; }  // that a job file chose

  virtual std::vector<SlotSpec> slots() const = 0;
  // Of the variable of that name and shape.
  virtual std::vector<SlotSpec> slots_of(std::string_view, const Shape&) const { return slots(); }
  // What is done to a dense variable, for whoever keeps variable and slots elsewhere. Throws
  // Error{kInvalidArgument} when it cannot be done to pieces of one.
  virtual UpdateOp update_op() const = 0;
  // The same for the variable of that name, whose weights may be left out of the decay.
  UpdateOp update_op_of(std::string_view variable, int rank) const;
  bool decays(std::string_view variable, int rank) const;

  // The nodes that update a variable; the first gives its new value. `inputs.slots`: as slots_of()
  // has them.
  virtual std::vector<Node*> apply(const UpdateInputs& inputs, std::string_view variable) const;

  // learning_rate, schedule, and those of UpdateOptions.
  void describe_common(OptionVisitor& visitor) override;
  void check() const override;
  // Makes the schedule that the options chose, if they did, for a run of so many steps. Called
  // after the options were set. Throws Error{kInvalidArgument} when the schedule makes no sense.
  void plan_schedule(int64_t steps);

 protected:
  // `schedule` null: constant, as the rule has it.
  Optimizer(const RuleInfo& rule, Schedule schedule, UpdateOptions options = {});

 private:
  std::string name_;
  double learning_rate_;
  std::shared_ptr<ScheduleOptions> schedule_options_;
  Schedule schedule_;
  UpdateOptions update_options_;
};

// The optimizer of a rule: `std::make_shared<nn::Adam>(nn::constant_rate(0.01),
// rules::Adam{.beta1 = 0.8})`.
template <typename Rule>
class RuleOptimizer : public Optimizer {
 public:
  using Options = Rule;
  explicit RuleOptimizer(Schedule learning_rate = nullptr, Rule rule = {},
                         UpdateOptions options = {})
      : Optimizer(Rule::kInfo, std::move(learning_rate), std::move(options)), rule_(rule) {
    check_options(*this, Rule::kInfo.name);
  }

  std::vector<SlotSpec> slots() const override { return rule_slots(rule_); }
  UpdateOp update_op() const override { return trireme::update_op(rule_); }
  void describe(OptionVisitor& visitor) override {
    rule_.describe(visitor);
    if constexpr (requires { rule_.describe_slots(visitor); }) rule_.describe_slots(visitor);
  }
  void check() const override {
    Optimizer::check();
    if constexpr (requires { rule_.complaint(); }) {
      const std::string_view complaint = rule_.complaint();
      if (!complaint.empty()) throw invalid_argument(Rule::kInfo.name, ": ", complaint);
    }
  }

 private:
  Rule rule_;
};

// nn::Adam and so on, one for each rule.
#define TRIREME_OPTIMIZER(Rule) using Rule = RuleOptimizer<rules::Rule>;
TRIREME_OPTIMIZERS(TRIREME_OPTIMIZER)
#undef TRIREME_OPTIMIZER

template <typename Rule>
void add_optimizer(Catalog<Optimizer>& catalog) {
  const RuleInfo& info = Rule::kInfo;
  catalog.add<RuleOptimizer<Rule>>(std::string(info.name), std::string(info.keras),
                                   std::string(info.help));
}

void register_core_optimizers(Catalog<Optimizer>& catalog);

}  // namespace trireme::nn
