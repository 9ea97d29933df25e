#pragma once

#include "core/rules/adam.h"

namespace trireme::rules {

// Adam with Nesterov's momentum (Dozat 2016), as in Keras: with mu_t = beta1·(1 − 0.5·0.96^t) and
// the product P_t of mu_1 … mu_t, m and v as Adam's, and
// w −= lr·(mu_(t+1)·m/(1 − P_(t+1)) + (1 − mu_t)·g/(1 − P_t)) / (√(v/(1 − beta2^t)) + epsilon).
struct Nadam {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, weight_decay = 0;

  static constexpr RuleInfo kInfo{.name = "nadam",
                                  .keras = "Nadam",
                                  .help = "Adam that looks one step of the momentum ahead.",
                                  .has_step = true};
  void describe(OptionVisitor& v) { describe_adam(v, *this); }

  static constexpr std::string_view kOp = "ApplyNadam";
  static constexpr auto kSlots = slots("m", "v");
  template <typename T>
  struct Factors {
    T of_mean, of_gradient, keep, epsilon, rest1, rest2, correction;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double step) const {
    const double now = momentum(step), next = momentum(step + 1);
    const double product = std::pow(beta1, step) * decayed(step);
    return {static_cast<T>(lr * next / (1 - product * next)),
            static_cast<T>(lr * (1 - now) / (1 - product)),
            static_cast<T>(1 - lr * weight_decay),
            static_cast<T>(epsilon),
            static_cast<T>(1 - beta1),
            static_cast<T>(1 - beta2),
            static_cast<T>(1 / (1 - std::pow(beta2, step)))};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& v, T g) {
    m += f.rest1 * (g - m);
    v += f.rest2 * (g * g - v);
    w = f.keep * w -
        (f.of_mean * m + f.of_gradient * g) / (std::sqrt(f.correction * v) + f.epsilon);
  }

 private:
  static constexpr double kDecay = 0.96;

  TRIREME_FORMULA double momentum(double step) const {
    return beta1 * (1 - 0.5 * std::pow(kDecay, step));
  }
  // The product of 1 − 0.5·kDecay^i for i from 1 to `step`, by the series of its logarithm, whose
  // terms halve: as long for the millionth step as for the first.
  TRIREME_FORMULA static double decayed(double step) {
    const double to_step = std::pow(kDecay, step);
    double half = 1, decay = 1, decay_of_step = 1, sum = 0;
    for (int k = 1; k <= 50; ++k) {
      half *= 0.5;
      decay *= kDecay;
      decay_of_step *= to_step;
      sum += half / k * decay * (1 - decay_of_step) / (1 - decay);
    }
    return std::exp(-sum);
  }
};

}  // namespace trireme::rules
