#include "core/nn/schedules.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "core/base/error.h"
#include "core/nn/decay_schedules.h"

namespace trireme::nn {
namespace {

void require_rate(double rate) {
  if (!(rate >= 0) || !std::isfinite(rate)) {
    throw invalid_argument("a learning rate must be a number of at least 0; found ", rate);
  }
}

}  // namespace

Schedule constant_rate(double rate) {
  require_rate(rate);
  return [rate](int64_t) { return rate; };
}

Schedule step_rate(std::vector<int64_t> boundaries, std::vector<double> values) {
  if (values.size() != boundaries.size() + 1) {
    throw invalid_argument("a step schedule needs one value more than boundaries; found ",
                           values.size(), " values and ", boundaries.size(), " boundaries");
  }
  if (!std::is_sorted(boundaries.begin(), boundaries.end(), std::less_equal<>())) {
    throw invalid_argument("the boundaries of a step schedule must increase");
  }
  for (double value : values) require_rate(value);
  return [=](int64_t step) {
    const auto next = std::upper_bound(boundaries.begin(), boundaries.end(), step);
    return values[static_cast<size_t>(next - boundaries.begin())];
  };
}

Schedule step_factor_rate(double rate, std::vector<int64_t> boundaries, double factor) {
  std::vector<double> values = {rate};
  for (size_t i = 0; i < boundaries.size(); ++i) values.push_back(values.back() * factor);
  return step_rate(std::move(boundaries), std::move(values));
}

Schedule exponential_rate(double rate, int64_t steps, double factor, bool staircase) {
  require_rate(rate);
  if (steps < 1 || !(factor > 0)) {
    throw invalid_argument("an exponential schedule needs steps ≥ 1 and a factor > 0; found ",
                           steps, " steps and factor ", factor);
  }
  return [=](int64_t step) {
    const double exponent = staircase ? static_cast<double>(step / steps)
                                      : static_cast<double>(step) / static_cast<double>(steps);
    return rate * std::pow(factor, exponent);
  };
}

Schedule cosine_rate(double rate, int64_t steps, int64_t warmup, double final_fraction) {
  require_rate(rate);
  if (warmup < 0 || steps <= warmup) {
    throw invalid_argument("a cosine schedule needs more steps than warm-up steps; found ", steps,
                           " steps and ", warmup, " of warm-up");
  }
  return [=](int64_t step) {
    if (step < warmup) return rate * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double progress =
        std::min(1.0, static_cast<double>(step - warmup) / static_cast<double>(steps - warmup));
    const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * progress));
    return rate * (final_fraction + (1 - final_fraction) * cosine);
  };
}

namespace {

class StepOptions : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "boundaries",
                   .help = "steps before which the rate changes, in increasing order",
                   .range = at_least(0)},
                  boundaries_);
    visitor.field({.name = "factor",
                   .help = "what the rate is multiplied by at each boundary",
                   .range = at_least(0)},
                  factor_);
  }
  void check() const override { (void)make(1, 0); }
  Schedule make(double rate, int64_t) const override {
    return step_factor_rate(rate, boundaries_, factor_);
  }

 private:
  std::vector<int64_t> boundaries_;
  double factor_ = 0.1;
};

class CosineOptions : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "steps",
                   .help = "steps of the whole run, warm-up included, after which the rate is "
                           "the minimum; 0: epochs × steps of an epoch",
                   .range = at_least(0)},
                  steps_);
    visitor.field({.name = "warmup_steps",
                   .help = "the first steps, over which the rate rises from 0",
                   .range = at_least(0)},
                  warmup_steps_);
    visitor.field({.name = "minimum", .help = "the last rate", .range = at_least(0)}, minimum_);
  }
  void check() const override {
    if (steps_ > 0 && steps_ <= warmup_steps_) throw too_few(steps_);
  }
  Schedule make(double rate, int64_t steps) const override {
    const int64_t whole = steps_ > 0 ? steps_ : steps;
    if (whole <= warmup_steps_) throw too_few(whole);
    if (minimum_ > rate) {
      throw invalid_argument("cosine: expected a minimum of at most the learning rate, which is ",
                             rate, ", found ", minimum_);
    }
    return cosine_rate(rate, whole, warmup_steps_, minimum_ == 0 ? 0 : minimum_ / rate);
  }

 private:
  Error too_few(int64_t steps) const {
    return invalid_argument("cosine: expected warmup_steps below the ", steps, " steps, found ",
                            warmup_steps_);
  }

  int64_t steps_ = 0;
  int64_t warmup_steps_ = 0;
  double minimum_ = 0;
};

class ExponentialOptions : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "steps",
                   .help = "steps over which the rate is multiplied by the factor once",
                   .range = at_least(1),
                   .default_text = "epochs × steps of an epoch",
                   .keras = "decay_steps"},
                  steps_);
    visitor.field({.name = "factor",
                   .help = "what the rate is multiplied by",
                   .range = above(0),
                   .keras = "decay_rate"},
                  factor_);
    visitor.field(
        {.name = "staircase",
         .help = "the rate changes after each `steps` steps only, instead of at each step"},
        staircase_);
  }
  Schedule make(double rate, int64_t steps) const override {
    return exponential_rate(rate, steps_.value_or(steps), factor_, staircase_);
  }

 private:
  std::optional<int64_t> steps_;
  double factor_ = 0.1;
  bool staircase_ = false;
};

}  // namespace

void register_core_schedules(Catalog<ScheduleOptions>& catalog) {
  catalog.add<StepOptions>("step", "", "The rate is multiplied by a factor at each boundary.");
  catalog.add<CosineOptions>("cosine", "",
                             "The rate rises over a warm-up, then falls along half a cosine.");
  catalog.add<ExponentialOptions>("exponential", "ExponentialDecay",
                                  "rate · factor^(step / steps).");
  register_decay_schedules(catalog);
}

}  // namespace trireme::nn
