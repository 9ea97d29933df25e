// An update rule that is not Trireme's, as a program of somebody else would have it: Adan (Xie et
// al. 2022, algorithm 1, without restarts), which has four slots.
#pragma once

#include "core/rules/update_rule.h"

namespace trireme::testing {

struct Adan {
  double beta1 = 0.02, beta2 = 0.08, beta3 = 0.01, epsilon = 1e-8;

  static constexpr RuleInfo kInfo{
      .name = "adan", .help = "Adan.", .learning_rate = 0.002, .has_step = true};
  void describe(OptionVisitor& v) {
    v.field({"beta1", "weight of a gradient in its mean", above_to(0, 1)}, beta1);
    v.field({"beta2", "weight of a change of gradients in its mean", above_to(0, 1)}, beta2);
    v.field({"beta3", "weight of a square in its mean", above_to(0, 1)}, beta3);
    v.field({"epsilon", "added to the root", above(0)}, epsilon);
  }

  static constexpr std::string_view kOp = "ApplyAdan";
  static constexpr auto kSlots = slots("m", "v", "n", "last");
  template <typename T>
  struct Factors {
    T lr, beta1, beta2, beta3, epsilon, has_last;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
    return {static_cast<T>(lr),    static_cast<T>(beta1),   static_cast<T>(beta2),
            static_cast<T>(beta3), static_cast<T>(epsilon), static_cast<T>(step > 1)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& v, T& n, T& last, T g) {
    const T change = f.has_last * (g - last);
    const T ahead = g + (1 - f.beta2) * change;
    m += f.beta1 * (g - m);
    v += f.beta2 * (change - v);
    n += f.beta3 * (ahead * ahead - n);
    w -= f.lr / (std::sqrt(n) + f.epsilon) * (m + (1 - f.beta2) * v);
    last = g;
  }
};

}  // namespace trireme::testing
