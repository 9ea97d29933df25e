#pragma once

#include "core/rules/adam.h"

namespace trireme::rules {

// m += (1 − beta1)·(g − m); u = max(beta2·u, |g|); w −= lr/(1 − beta1^t)·m/(u + epsilon) (Kingma
// and Ba 2015, section 7.1; epsilon as in Keras). Weights decay before that.
struct Adamax {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, weight_decay = 0;

  static constexpr RuleInfo kInfo{.name = "adamax",
                                  .keras = "Adamax",
                                  .help = "Adam with the largest gradients in place of squares.",
                                  .has_step = true};
  void describe(OptionVisitor& v) { describe_adam(v, *this); }

  static constexpr std::string_view kOp = "ApplyAdamax";
  static constexpr auto kSlots = slots("m", "u");
  template <typename T>
  struct Factors {
    T rate, keep, epsilon, rest1, beta2;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
    return {static_cast<T>(lr / (1 - std::pow(beta1, step))), static_cast<T>(1 - lr * weight_decay),
            static_cast<T>(epsilon), static_cast<T>(1 - beta1), static_cast<T>(beta2)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& u, T g) {
    const T size = g < 0 ? -g : g, old = f.beta2 * u;
    m += f.rest1 * (g - m);
    u = old > size ? old : size;
    w = f.keep * w - f.rate * m / (u + f.epsilon);
  }
};

}  // namespace trireme::rules
