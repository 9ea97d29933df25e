#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// w −= lr·sign(beta1·m + (1 − beta1)·g); m = beta2·m + (1 − beta2)·g (Chen et al. 2023). Weights
// decay before that.
struct Lion {
  double beta1 = 0.9, beta2 = 0.99, weight_decay = 0;

  static constexpr RuleInfo kInfo{.name = "lion",
                                  .keras = "Lion",
                                  .help = "Steps of one size, in the sign of a mean of gradients."};
  void describe(OptionVisitor& v) {
    v.field({.name = "beta1",
             .help = "share of the mean of gradients in what the sign is of",
             .range = from_below(0, 1),
             .keras = "beta_1"},
            beta1);
    v.field({.name = "beta2",
             .help = "share that the mean of gradients keeps of itself in a step",
             .range = from_below(0, 1),
             .keras = "beta_2"},
            beta2);
    describe_weight_decay(v, weight_decay);
  }

  static constexpr std::string_view kOp = "ApplyLion";
  static constexpr auto kSlots = slots("m");
  template <typename T>
  struct Factors {
    T lr, keep, beta1, rest1, beta2, rest2;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double) const {
    return {static_cast<T>(lr),    static_cast<T>(1 - lr * weight_decay),
            static_cast<T>(beta1), static_cast<T>(1 - beta1),
            static_cast<T>(beta2), static_cast<T>(1 - beta2)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T g) {
    const T mixed = f.beta1 * m + f.rest1 * g;
    const T sign = static_cast<T>(mixed > 0) - static_cast<T>(mixed < 0);
    m = f.beta2 * m + f.rest2 * g;
    w = f.keep * w - f.lr * sign;
  }
};

}  // namespace trireme::rules
