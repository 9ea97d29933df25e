#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// The options of Adam and of what follows from it.
template <typename Rule>
void describe_adam(OptionVisitor& v, Rule& rule) {
  v.field({.name = "beta1",
           .help = "share that the mean of gradients keeps of itself in a step",
           .range = from_below(0, 1),
           .keras = "beta_1"},
          rule.beta1);
  v.field({.name = "beta2",
           .help = "the same of the mean of squared gradients",
           .range = from_below(0, 1),
           .keras = "beta_2"},
          rule.beta2);
  v.field({.name = "epsilon", .help = "added to the root of that mean", .range = above(0)},
          rule.epsilon);
  describe_weight_decay(v, rule.weight_decay);
}

// w −= lr·weight_decay·w; m += (1 − beta1)·(g − m); v += (1 − beta2)·(g² − v);
// w −= lr·√(1 − beta2^t)/(1 − beta1^t) · m / (√v + epsilon) (Kingma and Ba 2015, section 2, the
// last form, as in Keras; the decay of Loshchilov and Hutter 2019).
struct Adam {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, weight_decay = 0;

  static constexpr RuleInfo kInfo{
      .name = "adam",
      .keras = "Adam",
      .help = "Adam: steps along the mean of gradients, divided by their size.",
      .has_step = true};
  void describe(OptionVisitor& v) { describe_adam(v, *this); }

  static constexpr std::string_view kOp = "ApplyAdam";
  static constexpr auto kSlots = slots("m", "v");
  template <typename T>
  struct Factors {
    T rate, keep, epsilon, rest1, rest2;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
    // For moments that began at zero.
    const double rate = lr * std::sqrt(1 - std::pow(beta2, step)) / (1 - std::pow(beta1, step));
    return {static_cast<T>(rate), static_cast<T>(1 - lr * weight_decay), static_cast<T>(epsilon),
            static_cast<T>(1 - beta1), static_cast<T>(1 - beta2)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& v, T g) {
    m += f.rest1 * (g - m);
    v += f.rest2 * (g * g - v);
    w = f.keep * w - f.rate * m / (std::sqrt(v) + f.epsilon);
  }
};

}  // namespace trireme::rules
