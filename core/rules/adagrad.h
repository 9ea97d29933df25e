#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// a += g²; w −= lr·g / √(a + epsilon) (Duchi et al. 2011; epsilon inside the root, as in Keras).
// Weights decay before that.
struct Adagrad {
  double epsilon = 1e-7, initial_accumulator = 0.1, weight_decay = 0;

  static constexpr RuleInfo kInfo{
      .name = "adagrad", .keras = "Adagrad", .help = "Adagrad: for sparse features."};
  void describe(OptionVisitor& v) {
    v.field({.name = "epsilon", .help = "added within the root", .range = above(0)}, epsilon);
    describe_weight_decay(v, weight_decay);
  }
  void describe_slots(OptionVisitor& v) {
    v.field({.name = "initial_accumulator",
             .help = "first value of the sums of squares; small for rare keys, whose gradients are",
             .range = at_least(0),
             .keras = "initial_accumulator_value"},
            initial_accumulator);
  }
  double initial(size_t) const { return initial_accumulator; }

  static constexpr std::string_view kOp = "ApplyAdagrad";
  static constexpr auto kSlots = slots("accumulator");
  template <typename T>
  struct Factors {
    T lr, keep, epsilon;
  };
  template <typename T>
  TRIREME_FORMULA Factors<T> factors(double lr, double) const {
    return {static_cast<T>(lr), static_cast<T>(1 - lr * weight_decay), static_cast<T>(epsilon)};
  }
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& a, T g) {
    a += g * g;
    w = f.keep * w - f.lr * g / std::sqrt(a + f.epsilon);
  }
};

}  // namespace trireme::rules
