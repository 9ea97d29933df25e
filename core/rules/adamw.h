#pragma once

#include "core/rules/adam.h"

namespace trireme::rules {

// Adam whose weights decay unless they are told not to (Loshchilov and Hutter 2019; the default is
// Keras's).
struct AdamW {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, weight_decay = 0.004;

  static constexpr RuleInfo kInfo{.name = "adamw",
                                  .keras = "AdamW",
                                  .help = "Adam with decoupled weight decay.",
                                  .has_step = true};
  void describe(OptionVisitor& v) { describe_adam(v, *this); }

  static constexpr std::string_view kOp = "ApplyAdamW";
  static constexpr auto kSlots = Adam::kSlots;
  template <typename T>
  using Factors = Adam::Factors<T>;
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
    return Adam{beta1, beta2, epsilon, weight_decay}.factors<T>(lr, step);
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& v, T g) {
    Adam::update(f, w, m, v, g);
  }
};

}  // namespace trireme::rules
