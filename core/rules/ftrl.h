#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// Follow the regularized leader (McMahan et al. 2013), as in Keras: with q(n) = n^−power,
// z += g + 2·shrinkage·w − (q(n + g²) − q(n))/lr·w; n += g²;
// w = (clip(z, ±l1) − z) / (q(n)/lr + 2·(l2 + beta/(2·lr))). Weights decay before that. A learning
// rate of 0 changes nothing.
struct Ftrl {
  double learning_rate_power = -0.5, l1 = 0, l2 = 0, l2_shrinkage = 0, beta = 0;
  double initial_accumulator = 0.1, weight_decay = 0;

  static constexpr RuleInfo kInfo{
      .name = "ftrl",
      .keras = "Ftrl",
      .help = "Follow the regularized leader: for sparse features, with weights of exactly 0."};
  void describe(OptionVisitor& v) {
    v.field({.name = "learning_rate_power",
             .help = "how steps shrink with the sum of squares; 0: not",
             .range = {.max = 0}},
            learning_rate_power);
    v.field({.name = "l1",
             .help = "penalty of magnitudes, which makes weights 0",
             .range = at_least(0),
             .keras = "l1_regularization_strength"},
            l1);
    v.field({.name = "l2",
             .help = "penalty of squares",
             .range = at_least(0),
             .keras = "l2_regularization_strength"},
            l2);
    v.field({.name = "l2_shrinkage",
             .help = "penalty of squares that is a part of gradients",
             .range = at_least(0),
             .keras = "l2_shrinkage_regularization_strength"},
            l2_shrinkage);
    v.field({.name = "beta", .help = "makes the first steps smaller", .range = at_least(0)}, beta);
    describe_weight_decay(v, weight_decay);
  }
  void describe_slots(OptionVisitor& v) {
    v.field({.name = "initial_accumulator",
             .help = "first value of the sums of squares",
             .range = at_least(0),
             .keras = "initial_accumulator_value"},
            initial_accumulator);
  }
  double initial(size_t slot) const { return slot == 0 ? initial_accumulator : 0; }

  template <typename T>
  struct FtrlFactors {
    T lr, per_rate, keep, power, l1, rest, shrinkage;
  };
  struct Root {  // of the usual power, −0.5
    const Ftrl& rule;

    static constexpr std::string_view kOp = "ApplyFtrl";
    static constexpr auto kSlots = slots("accumulator", "linear");
    template <typename T>
    using Factors = FtrlFactors<T>;
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return {static_cast<T>(lr),
              static_cast<T>(1 / lr),
              static_cast<T>(1 - lr * rule.weight_decay),
              static_cast<T>(-rule.learning_rate_power),
              static_cast<T>(rule.l1),
              static_cast<T>(2 * rule.l2 + rule.beta / lr),
              static_cast<T>(2 * rule.l2_shrinkage)};
    }
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& n, T& z, T g) {
      step(f, w, n, z, g, std::sqrt(n), std::sqrt(n + g * g));
    }
    template <typename T>
    TRIREME_FORMULA static void step(const Factors<T>& f, T& w, T& n, T& z, T g, T before,
                                     T after) {
      if (f.lr == 0) return;
      w = f.keep * w;
      z += g + f.shrinkage * w - (after - before) * f.per_rate * w;
      n += g * g;
      const T clipped = z > f.l1 ? f.l1 : z < -f.l1 ? -f.l1 : z;
      w = (clipped - z) / (after * f.per_rate + f.rest);
    }
  };
  struct Power : Root {
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& n, T& z, T g) {
      step(f, w, n, z, g, std::pow(n, f.power), std::pow(n + g * g, f.power));
    }
  };
  using Forms = RuleForms<Root, Power>;
  template <typename Visit>
  TRIREME_FORMULA void with_form(const Visit& visit) const {
    if (learning_rate_power == -0.5) {
      visit(Root{*this});
    } else {
      visit(Power{{*this}});
    }
  }
};

}  // namespace trireme::rules
