#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// a = rho·a + (1 − rho)·g²; d = g·√(x + epsilon)/√(a + epsilon); x = rho·x + (1 − rho)·d²;
// w −= lr·d (Zeiler 2012; the learning rate as in Keras). Weights decay before that.
struct Adadelta {
  double rho = 0.95, epsilon = 1e-7, weight_decay = 0;

  static constexpr RuleInfo kInfo{
      .name = "adadelta",
      .keras = "Adadelta",
      .help = "Steps as large as those before them, divided by the size of gradients."};
  void describe(OptionVisitor& v) {
    v.field({.name = "rho",
             .help = "share that the means of squares keep of themselves in a step",
             .range = from_below(0, 1)},
            rho);
    v.field({.name = "epsilon", .help = "added within the roots of the means", .range = above(0)},
            epsilon);
    describe_weight_decay(v, weight_decay);
  }

  static constexpr std::string_view kOp = "ApplyAdadelta";
  static constexpr auto kSlots = slots("gradients", "steps");
  template <typename T>
  struct Factors {
    T lr, keep, rho, rest, epsilon;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double) const {
    return {static_cast<T>(lr), static_cast<T>(1 - lr * weight_decay), static_cast<T>(rho),
            static_cast<T>(1 - rho), static_cast<T>(epsilon)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& a, T& x, T g) {
    a = f.rho * a + f.rest * (g * g);
    const T d = std::sqrt(x + f.epsilon) * g / std::sqrt(a + f.epsilon);
    x = f.rho * x + f.rest * (d * d);
    w = f.keep * w - f.lr * d;
  }
};

}  // namespace trireme::rules
