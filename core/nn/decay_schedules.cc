#include "core/nn/decay_schedules.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

double ratio(int64_t step, int64_t steps) {
  return static_cast<double>(step) / static_cast<double>(steps);
}

double half_cosine(double progress) { return 0.5 * (1 + std::cos(std::numbers::pi * progress)); }

void require_steps(std::string_view what, int64_t steps) {
  if (steps < 1) throw invalid_argument(what, ": expected at least 1 step, found ", steps);
}

}  // namespace

Schedule piecewise_rate(std::vector<int64_t> boundaries, std::vector<double> values) {
  // The last step of a piece is its boundary.
  for (int64_t& boundary : boundaries) ++boundary;
  return step_rate(std::move(boundaries), std::move(values));
}

Schedule inverse_time_rate(double rate, int64_t steps, double factor, bool staircase) {
  (void)constant_rate(rate);
  require_steps("inverse_time_decay", steps);
  return [=](int64_t step) {
    const double progress = staircase ? static_cast<double>(step / steps) : ratio(step, steps);
    return rate / (1 + factor * progress);
  };
}

Schedule polynomial_rate(double rate, int64_t steps, double end, double power, bool cycle) {
  (void)constant_rate(rate);
  require_steps("polynomial_decay", steps);
  return [=](int64_t step) {
    int64_t whole = steps;
    if (cycle) {
      whole = steps * std::max<int64_t>(1, (step + steps - 1) / steps);
    } else {
      step = std::min(step, steps);
    }
    return (rate - end) * std::pow(1 - ratio(step, whole), power) + end;
  };
}

Schedule cosine_decay_rate(double rate, int64_t steps, double alpha,
                           std::optional<double> warmup_target, int64_t warmup_steps) {
  (void)constant_rate(rate);
  require_steps("cosine_decay", steps);
  return [=](int64_t step) {
    double from = rate;
    if (warmup_target) {
      if (step < warmup_steps) return rate + (*warmup_target - rate) * ratio(step, warmup_steps);
      step -= warmup_steps;
      from = *warmup_target;
    }
    return from * ((1 - alpha) * half_cosine(ratio(std::min(step, steps), steps)) + alpha);
  };
}

Schedule cosine_restarts_rate(double rate, int64_t first_steps, double t_mul, double m_mul,
                              double alpha) {
  (void)constant_rate(rate);
  require_steps("cosine_decay_restarts", first_steps);
  return [=](int64_t step) {
    double done = ratio(step, first_steps), restarts;
    if (t_mul == 1) {
      restarts = std::floor(done);
      done -= restarts;
    } else {
      restarts = std::floor(std::log(1 - done * (1 - t_mul)) / std::log(t_mul) + 1e-12);
      const double length = std::pow(t_mul, restarts);
      done = std::max(0.0, (done - (1 - length) / (1 - t_mul)) / length);
    }
    return rate * ((1 - alpha) * std::pow(m_mul, restarts) * half_cosine(done) + alpha);
  };
}

Schedule one_cycle_rate(double rate, int64_t steps, const OneCycleOptions& options) {
  (void)constant_rate(rate);
  const double start = rate / options.div_factor, end = start / options.final_div_factor;
  struct Phase {
    double last, from, to;  // the step that it ends with
  };
  const double turn = options.pct_start * static_cast<double>(steps) - 1;
  const double last = static_cast<double>(steps) - 1;
  std::vector<Phase> phases = {{turn, start, rate}};
  if (options.three_phases) phases.push_back({2 * turn, rate, start});
  phases.push_back({last, options.three_phases ? start : rate, end});
  for (size_t i = 0; i < phases.size(); ++i) {
    if (phases[i].last > (i == 0 ? 0 : phases[i - 1].last)) continue;
    throw invalid_argument(
        "one_cycle: expected more steps than phases, and pct_start so that "
        "each phase has some; found ",
        steps, " steps and ", options.pct_start);
  }
  return [=, linear = options.linear](int64_t step) {
    const double at = std::min(static_cast<double>(step), last);
    double first = 0;
    for (const Phase& phase : phases) {
      if (at > phase.last) {
        first = phase.last;
        continue;
      }
      const double done = (at - first) / (phase.last - first);
      return linear ? phase.from + (phase.to - phase.from) * done
                    : phase.to + (phase.from - phase.to) * half_cosine(done);
    }
    return end;
  };
}

Schedule warmup_rate(double rate, int64_t steps, double start_factor, Schedule after) {
  (void)constant_rate(rate);
  require_steps("warmup", steps);
  return [=](int64_t step) {
    if (step >= steps) return after(step - steps);
    return rate * (start_factor + (1 - start_factor) * ratio(step, steps));
  };
}

namespace {

// The option of all that fall over so many steps; nothing: over the whole run.
class DecayOptions : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "decay_steps",
                   .help = "steps that it falls over",
                   .range = at_least(1),
                   .default_text = "epochs × steps of an epoch"},
                  steps_);
  }

 protected:
  std::optional<int64_t> steps_;
};

class PiecewiseConstant : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "boundaries",
                   .help = "the last step, from 0, of each piece but the last, in increasing order",
                   .range = at_least(0)},
                  boundaries_);
    visitor.field({.name = "values",
                   .help = "the rates, one more than boundaries, in place of learning_rate",
                   .range = at_least(0)},
                  values_);
  }
  void check() const override { (void)make(1, 0); }
  Schedule make(double, int64_t) const override { return piecewise_rate(boundaries_, values_); }

 private:
  std::vector<int64_t> boundaries_;
  std::vector<double> values_;
};

class InverseTime : public DecayOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    DecayOptions::describe(visitor);
    visitor.field({.name = "decay_rate",
                   .help = "rate / (1 + decay_rate · step / decay_steps)",
                   .range = at_least(0)},
                  factor_);
    visitor.field(
        {.name = "staircase", .help = "the rate changes after each decay_steps steps only"},
        staircase_);
  }
  Schedule make(double rate, int64_t steps) const override {
    return inverse_time_rate(rate, steps_.value_or(steps), factor_, staircase_);
  }

 private:
  double factor_ = 1;
  bool staircase_ = false;
};

class Polynomial : public DecayOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    DecayOptions::describe(visitor);
    visitor.field({.name = "end_learning_rate", .help = "the last rate", .range = at_least(0)},
                  end_);
    visitor.field({.name = "power", .help = "of the polynomial; 1: a line", .range = above(0)},
                  power_);
    visitor.field({.name = "cycle", .help = "begins again, from a lower rate, when it is done"},
                  cycle_);
  }
  Schedule make(double rate, int64_t steps) const override {
    return polynomial_rate(rate, steps_.value_or(steps), end_, power_, cycle_);
  }

 private:
  double end_ = 0.0001, power_ = 1;
  bool cycle_ = false;
};

class CosineDecay : public DecayOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    DecayOptions::describe(visitor);
    visitor.field({.name = "alpha",
                   .help = "the last rate, as a share of that which it falls from",
                   .range = from_to(0, 1)},
                  alpha_);
    visitor.field({.name = "warmup_target",
                   .help = "the rate that a warm-up goes to, from learning_rate, before it falls",
                   .range = at_least(0),
                   .default_text = "no warm-up"},
                  warmup_target_);
    visitor.field({.name = "warmup_steps",
                   .help = "steps of the warm-up, before decay_steps",
                   .range = at_least(0)},
                  warmup_steps_);
  }
  void check() const override {
    if (warmup_steps_ > 0 && !warmup_target_) {
      throw invalid_argument("cosine_decay: warmup_steps: expected a warmup_target, found none");
    }
  }
  Schedule make(double rate, int64_t steps) const override {
    const int64_t rest = std::max<int64_t>(1, steps - warmup_steps_);
    return cosine_decay_rate(rate, steps_.value_or(rest), alpha_, warmup_target_, warmup_steps_);
  }

 private:
  double alpha_ = 0;
  std::optional<double> warmup_target_;
  int64_t warmup_steps_ = 0;
};

class CosineDecayRestarts : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "first_decay_steps",
                   .help = "steps that the rate falls over before it starts again",
                   .range = at_least(1),
                   .default_text = "must be given"},
                  first_steps_);
    visitor.field({.name = "t_mul",
                   .help = "how much longer each period is than the one before",
                   .range = at_least(1)},
                  t_mul_);
    visitor.field({.name = "m_mul",
                   .help = "the first rate of a period as a share of that before",
                   .range = above(0)},
                  m_mul_);
    visitor.field({.name = "alpha",
                   .help = "the last rate of a period, as a share of learning_rate",
                   .range = from_to(0, 1)},
                  alpha_);
  }
  void check() const override { (void)make(1, 0); }
  Schedule make(double rate, int64_t) const override {
    return cosine_restarts_rate(rate, first_steps_, t_mul_, m_mul_, alpha_);
  }

 private:
  int64_t first_steps_ = 0;
  double t_mul_ = 2, m_mul_ = 1, alpha_ = 0;
};

enum class Anneal { kCos, kLinear };
constexpr EnumName<Anneal> kAnneals[] = {{Anneal::kCos, "COS"}, {Anneal::kLinear, "LINEAR"}};

class OneCycle : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "total_steps",
                   .help = "steps of the cycle",
                   .range = at_least(1),
                   .default_text = "epochs × steps of an epoch"},
                  steps_);
    visitor.field({.name = "pct_start",
                   .help = "share of the steps over which the rate rises to learning_rate",
                   .range = between(0, 1)},
                  options_.pct_start);
    Anneal anneal = options_.linear ? Anneal::kLinear : Anneal::kCos;
    visitor.field({.name = "anneal_strategy", .help = "the shape of the ways"}, anneal, kAnneals);
    options_.linear = anneal == Anneal::kLinear;
    visitor.field({.name = "div_factor",
                   .help = "learning_rate divided by the first rate",
                   .range = above(0)},
                  options_.div_factor);
    visitor.field({.name = "final_div_factor",
                   .help = "the first rate divided by the last",
                   .range = above(0)},
                  options_.final_div_factor);
    visitor.field({.name = "three_phase",
                   .help = "falls to the first rate as fast as it rose, and then on to the last"},
                  options_.three_phases);
  }
  Schedule make(double rate, int64_t steps) const override {
    return one_cycle_rate(rate, steps_.value_or(steps), options_);
  }

 private:
  std::optional<int64_t> steps_;
  OneCycleOptions options_;
};

class Warmup : public ScheduleOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "steps",
                   .help = "over which the rate rises to learning_rate",
                   .range = at_least(1),
                   .default_text = "must be given"},
                  steps_);
    visitor.field({.name = "start_factor",
                   .help = "the first rate, as a share of learning_rate",
                   .range = from_to(0, 1)},
                  start_factor_);
    visitor.component({.name = "after",
                       .help = "the schedule of the steps behind it, which counts them from 0",
                       .default_text = "it stays"},
                      after_);
  }
  Schedule make(double rate, int64_t steps) const override {
    const int64_t rest = std::max<int64_t>(1, steps - steps_);
    return warmup_rate(rate, steps_, start_factor_,
                       after_ ? after_->make(rate, rest) : constant_rate(rate));
  }

 private:
  int64_t steps_ = 0;
  double start_factor_ = 0;
  std::shared_ptr<ScheduleOptions> after_;
};

}  // namespace

void register_decay_schedules(Catalog<ScheduleOptions>& catalog) {
  catalog.add<PiecewiseConstant>("piecewise_constant_decay", "PiecewiseConstantDecay",
                                 "A rate of its own for each piece of the run.");
  catalog.add<InverseTime>("inverse_time_decay", "InverseTimeDecay",
                           "rate / (1 + decay_rate · step / decay_steps).");
  catalog.add<Polynomial>("polynomial_decay", "PolynomialDecay",
                          "The rate falls along a power of what is left of the steps.");
  catalog.add<CosineDecay>("cosine_decay", "CosineDecay",
                           "Keras's: a warm-up to a rate, then half a cosine.");
  catalog.add<CosineDecayRestarts>("cosine_decay_restarts", "CosineDecayRestarts",
                                   "Half a cosine that begins again (Loshchilov and Hutter 2017).");
  catalog.add<OneCycle>("one_cycle", "",
                        "Up to learning_rate and down again, as PyTorch's OneCycleLR with "
                        "cycle_momentum false (Smith and Topin 2018).");
  catalog.add<Warmup>("warmup", "",
                      "The rate rises along a line, as PyTorch's LinearLR, before another "
                      "schedule.");
}

}  // namespace trireme::nn
