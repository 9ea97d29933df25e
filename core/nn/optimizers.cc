#include "core/nn/optimizers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/frozen.h"
#include "core/nn/whole_variable_optimizers.h"

namespace trireme::nn {

namespace {

constexpr EnumName<UpdateOptions::Decay> kDecays[] = {{UpdateOptions::Decay::kAll, "ALL"},
                                                      {UpdateOptions::Decay::kKernels, "KERNELS"}};

}  // namespace

std::string slot_name(std::string_view optimizer, std::string_view slot,
                      std::string_view variable) {
  return str_cat("optimizer/", optimizer, "/", slot, "/", variable);
}

Optimizer::Optimizer(const RuleInfo& rule, Schedule schedule, UpdateOptions options)
    : name_(rule.name),
      learning_rate_(rule.learning_rate),
      schedule_(std::move(schedule)),
      update_options_(std::move(options)) {
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
  UpdateOptions& options = update_options_;
  visitor.field({.name = "clipnorm",
                 .help = "the largest norm of the gradient of a variable",
                 .range = above(0),
                 .default_text = "any"},
                options.clipnorm);
  visitor.field({.name = "clipvalue",
                 .help = "the largest magnitude of a number of a gradient",
                 .range = above(0),
                 .default_text = "any"},
                options.clipvalue);
  visitor.field({.name = "global_clipnorm",
                 .help = "the largest norm of the gradient of all variables together",
                 .range = above(0),
                 .default_text = "any"},
                options.global_clipnorm);
  visitor.field({.name = "decay",
                 .help = "which weights lose weight_decay: KERNELS leaves out biases and what else "
                         "has one axis"},
                options.decay, kDecays);
  visitor.field({.name = "exclude_from_weight_decay",
                 .help = "patterns of names of layers and variables that do not decay"},
                options.exclude_from_weight_decay);
  visitor.field({.name = "use_ema",
                 .help = "keeps moving averages of the variables, which validation, evaluate and "
                         "predict use"},
                options.use_ema);
  visitor.field({.name = "ema_momentum",
                 .help = "share that an average keeps of itself in a step",
                 .range = from_to(0, 1)},
                options.ema_momentum);
  visitor.field({.name = "ema_overwrite_frequency",
                 .help = "each so many steps the variables become their averages; 0: never",
                 .range = at_least(0)},
                options.ema_overwrite_frequency);
  visitor.field({.name = "gradient_accumulation_steps",
                 .help = "steps whose gradients are averaged into one update",
                 .range = at_least(1)},
                options.gradient_accumulation_steps);
}

void Optimizer::check() const {
  const UpdateOptions& options = update_options_;
  if (options.clipnorm.has_value() + options.clipvalue.has_value() +
          options.global_clipnorm.has_value() >
      1) {
    throw invalid_argument(
        "clipnorm, clipvalue, global_clipnorm: expected one of them at most, found several");
  }
  if (options.ema_overwrite_frequency > 0 && !options.use_ema) {
    throw invalid_argument("ema_overwrite_frequency needs use_ema: true");
  }
  for (const std::string& pattern : options.exclude_from_weight_decay) {
    try {
      (void)matches_variable(pattern, "");
    } catch (const Error& error) {
      throw invalid_argument("exclude_from_weight_decay: ", error.what());
    }
  }
}

bool Optimizer::decays(std::string_view variable, int rank) const {
  if (update_options_.decay == UpdateOptions::Decay::kKernels && rank < 2) return false;
  return std::ranges::none_of(
      update_options_.exclude_from_weight_decay,
      [&](const std::string& pattern) { return matches_variable(pattern, std::string(variable)); });
}

UpdateOp Optimizer::update_op_of(std::string_view variable, int rank) const {
  UpdateOp op = update_op();
  if (op.attributes.has("weight_decay") && !decays(variable, rank)) {
    op.attributes.set("weight_decay", 0.0);
  }
  return op;
}

std::vector<Node*> Optimizer::apply(const UpdateInputs& inputs, std::string_view variable) const {
  return {&ops::update(update_op_of(variable, inputs.variable.shape().rank()), inputs)};
}

void Optimizer::plan_schedule(int64_t steps) {
  if (schedule_options_ != nullptr) schedule_ = schedule_options_->make(learning_rate_, steps);
}

void register_core_optimizers(Catalog<Optimizer>& catalog) {
  for_each_optimizer([&]<typename Rule>() { add_optimizer<Rule>(catalog); });
  register_whole_variable_optimizers(catalog);
}

}  // namespace trireme::nn
