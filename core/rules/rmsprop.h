#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// s = rho·s + (1 − rho)·g²; d = lr·g / √(s + epsilon); w −= d, or with momentum m = momentum·m + d
// and w −= m (Hinton 2012; epsilon inside the root, as in Keras).
struct RmsProp {
  double rho = 0.9, momentum = 0, epsilon = 1e-7;

  static constexpr RuleInfo kInfo{.name = "rmsprop",
                                  .keras = "RMSprop",
                                  .help = "RMSprop: steps divided by the size of gradients."};
  void describe(OptionVisitor& v) {
    v.field({.name = "rho",
             .help = "share that the mean of squared gradients keeps of itself in a step",
             .range = from_below(0, 1)},
            rho);
    v.field({.name = "momentum",
             .help = "share of the last step that is repeated; 0: none",
             .range = from_below(0, 1)},
            momentum);
    v.field({.name = "epsilon", .help = "added within the root of that mean", .range = above(0)},
            epsilon);
  }

  struct Plain {
    const RmsProp& rule;

    static constexpr std::string_view kOp = "ApplyRmsProp";
    static constexpr auto kSlots = slots("rms");
    template <typename T>
    struct Factors {
      T lr, rho, rest, epsilon;
    };
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return {static_cast<T>(lr), static_cast<T>(rule.rho), static_cast<T>(1 - rule.rho),
              static_cast<T>(rule.epsilon)};
    }
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T g) {
      s = f.rho * s + f.rest * (g * g);
      w -= f.lr * g / std::sqrt(s + f.epsilon);
    }
  };
  struct Momentum {
    const RmsProp& rule;

    static constexpr std::string_view kOp = "ApplyRmsPropMomentum";
    static constexpr auto kSlots = slots("rms", "momentum");
    template <typename T>
    struct Factors {
      T lr, rho, rest, epsilon, momentum;
    };
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return {static_cast<T>(lr), static_cast<T>(rule.rho), static_cast<T>(1 - rule.rho),
              static_cast<T>(rule.epsilon), static_cast<T>(rule.momentum)};
    }
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T& m, T g) {
      s = f.rho * s + f.rest * (g * g);
      m = f.momentum * m + f.lr * g / std::sqrt(s + f.epsilon);
      w -= m;
    }
  };
  using Forms = RuleForms<Plain, Momentum>;
  template <typename Visit>
  TRIREME_FORMULA void with_form(const Visit& visit) const {
    if (momentum == 0) {
      visit(Plain{*this});
    } else {
      visit(Momentum{*this});
    }
  }
};

}  // namespace trireme::rules
