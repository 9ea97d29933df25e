// Optimizers: which slots a variable has, and the node that updates it. What they compute is a rule
// (core/rules), so that kernels and parameter servers do the same.
//
// Immutable once trained with; any thread. Constructors throw Error{kInvalidArgument} for options
// that make no sense.
#pragma once

#include <memory>
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

// "optimizer/adam/m/dense/kernel".
std::string slot_name(std::string_view optimizer, std::string_view slot, std::string_view variable);

class Optimizer : public Component {
 public:
  static constexpr std::string_view kFamily = "optimizer";

  const std::string& name() const { return name_; }  // "adam"
  // `step`: how many steps were taken before.
  double learning_rate(int64_t step) const;
  virtual std::vector<SlotSpec> slots() const = 0;
  // What is done to a dense variable, for whoever keeps variable and slots elsewhere.
  virtual UpdateOp update_op() const = 0;
  // `inputs.slots`: as slots() has them.
  Node& apply(const UpdateInputs& inputs) const { return ops::update(update_op(), inputs); }

  void describe_common(OptionVisitor& visitor) override;  // learning_rate, schedule
  // Makes the schedule that the options chose, if they did, for a run of so many steps. Called
  // after the options were set. Throws Error{kInvalidArgument} when the schedule makes no sense.
  void plan_schedule(int64_t steps);

 protected:
  // `schedule` null: constant, as the rule has it.
  Optimizer(const RuleInfo& rule, Schedule schedule);

 private:
  std::string name_;
  double learning_rate_;
  std::shared_ptr<ScheduleOptions> schedule_options_;
  Schedule schedule_;
};

// The optimizer of a rule: `std::make_shared<nn::Adam>(nn::constant_rate(0.01),
// rules::Adam{.beta1 = 0.8})`.
template <typename Rule>
class RuleOptimizer : public Optimizer {
 public:
  using Options = Rule;
  explicit RuleOptimizer(Schedule learning_rate = nullptr, Rule rule = {})
      : Optimizer(Rule::kInfo, std::move(learning_rate)), rule_(rule) {
    check_options(*this, Rule::kInfo.name);
  }

  std::vector<SlotSpec> slots() const override { return rule_slots(rule_); }
  UpdateOp update_op() const override { return trireme::update_op(rule_); }
  void describe(OptionVisitor& visitor) override {
    rule_.describe(visitor);
    if constexpr (requires { rule_.describe_slots(visitor); }) rule_.describe_slots(visitor);
  }
  void check() const override {
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
