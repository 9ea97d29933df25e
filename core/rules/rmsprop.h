#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// s = rho·s + (1 − rho)·g²; d = lr·g / √(s + epsilon); w −= d, or with momentum m = momentum·m + d
// and w −= m (Hinton 2012; epsilon inside the root, as in Keras). Centered: with the mean of
// gradients a = rho·a + (1 − rho)·g, √(s − a² + epsilon) instead. Weights decay before that.
struct RmsProp {
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false;
  double weight_decay = 0;

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
    v.field({.name = "centered", .help = "divides by the deviation of gradients from their mean"},
            centered);
    describe_weight_decay(v, weight_decay);
  }

  template <typename T>
  struct RmsFactors {
    T lr, keep, rho, rest, epsilon, momentum;
  };
  template <typename T>
  TRIREME_FORMULA RmsFactors<T> all_factors(double lr) const {
    return {static_cast<T>(lr),      static_cast<T>(1 - lr * weight_decay),
            static_cast<T>(rho),     static_cast<T>(1 - rho),
            static_cast<T>(epsilon), static_cast<T>(momentum)};
  }

  struct Form {
    const RmsProp& rule;

    template <typename T>
    using Factors = RmsFactors<T>;
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return rule.all_factors<T>(lr);
    }
  };
  struct Plain : Form {
    static constexpr std::string_view kOp = "ApplyRmsProp";
    static constexpr auto kSlots = slots("rms");
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T g) {
      s = f.rho * s + f.rest * (g * g);
      w = f.keep * w - f.lr * g / std::sqrt(s + f.epsilon);
    }
  };
  struct Momentum : Form {
    static constexpr std::string_view kOp = "ApplyRmsPropMomentum";
    static constexpr auto kSlots = slots("rms", "momentum");
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T& m, T g) {
      s = f.rho * s + f.rest * (g * g);
      m = f.momentum * m + f.lr * g / std::sqrt(s + f.epsilon);
      w = f.keep * w - m;
    }
  };
  struct Centered : Form {
    static constexpr std::string_view kOp = "ApplyRmsPropCentered";
    static constexpr auto kSlots = slots("rms", "mean");
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T& a, T g) {
      s = f.rho * s + f.rest * (g * g);
      a = f.rho * a + f.rest * g;
      w = f.keep * w - f.lr * g / std::sqrt(s - a * a + f.epsilon);
    }
  };
  struct CenteredMomentum : Form {
    static constexpr std::string_view kOp = "ApplyRmsPropCenteredMomentum";
    static constexpr auto kSlots = slots("rms", "mean", "momentum");
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& s, T& a, T& m, T g) {
      s = f.rho * s + f.rest * (g * g);
      a = f.rho * a + f.rest * g;
      m = f.momentum * m + f.lr * g / std::sqrt(s - a * a + f.epsilon);
      w = f.keep * w - m;
    }
  };
  using Forms = RuleForms<Plain, Momentum, Centered, CenteredMomentum>;
  template <typename Visit>
  TRIREME_FORMULA void with_form(const Visit& visit) const {
    if (centered && momentum != 0) {
      visit(CenteredMomentum{{*this}});
    } else if (centered) {
      visit(Centered{{*this}});
    } else if (momentum != 0) {
      visit(Momentum{{*this}});
    } else {
      visit(Plain{{*this}});
    }
  }
};

}  // namespace trireme::rules
