#include "core/nn/optimizers.h"

#include "core/base/error.h"

namespace trireme::nn {

std::string slot_name(std::string_view optimizer, std::string_view slot,
                      std::string_view variable) {
  return str_cat("optimizer/", optimizer, "/", slot, "/", variable);
}

Optimizer::Optimizer(const RuleInfo& rule, Schedule schedule)
    : name_(rule.name), learning_rate_(rule.learning_rate), schedule_(std::move(schedule)) {
  if (schedule_) learning_rate_ = schedule_(0);
}

double Optimizer::learning_rate(int64_t step) const {
  if (schedule_) return schedule_(step);
  TRIREME_CHECK(schedule_options_ == nullptr, "the schedule of ", name_, " was not planned");
  return learning_rate_;
}

void Optimizer::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "learning_rate", .help = "of the first step", .range = at_least(0)},
                learning_rate_);
  visitor.component(
      {.name = "schedule", .help = "how the learning rate changes", .default_text = "it stays"},
      schedule_options_);
}

void Optimizer::plan_schedule(int64_t steps) {
  if (schedule_options_ != nullptr) schedule_ = schedule_options_->make(learning_rate_, steps);
}

void register_core_optimizers(Catalog<Optimizer>& catalog) {
  for_each_optimizer([&]<typename Rule>() { add_optimizer<Rule>(catalog); });
}

}  // namespace trireme::nn
