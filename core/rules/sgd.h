#pragma once

#include "core/rules/rule.h"

namespace trireme::rules {

// w −= lr·weight_decay·w, then w −= lr·g; with momentum v = momentum·v − lr·g and w += v, or for
// Nesterov's w += momentum·v − lr·g. As in Keras.
struct Sgd {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;

  static constexpr RuleInfo kInfo{.name = "sgd",
                                  .keras = "SGD",
                                  .help = "Gradient descent, with momentum or without.",
                                  .learning_rate = 0.01};
  void describe(OptionVisitor& v) {
    v.field({.name = "momentum",
             .help = "share of the last step that is repeated; 0: none",
             .range = from_below(0, 1)},
            momentum);
    v.field({.name = "nesterov", .help = "looks one step of the momentum ahead"}, nesterov);
    describe_weight_decay(v, weight_decay);
  }
  std::string_view complaint() const {
    return nesterov && momentum == 0 ? "nesterov needs a momentum, such as 0.9" : "";
  }
  bool is_plain_descent() const { return momentum == 0 && weight_decay == 0; }

  struct Plain {
    const Sgd& rule;

    static constexpr std::string_view kOp = "ApplySgd";
    static constexpr auto kSlots = slots();
    template <typename T>
    struct Factors {
      T lr, keep;
    };
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return {static_cast<T>(lr), static_cast<T>(1 - lr * rule.weight_decay)};
    }
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T g) {
      w = f.keep * w - f.lr * g;
    }
  };
  struct Momentum {
    const Sgd& rule;

    static constexpr std::string_view kOp = "ApplyMomentum";
    static constexpr auto kSlots = slots("momentum");
    template <typename T>
    struct Factors {
      T lr, keep, momentum;
    };
    template <typename T>
    TRIREME_FORMULA Factors<T> factors(double lr, double) const {
      return {static_cast<T>(lr), static_cast<T>(1 - lr * rule.weight_decay),
              static_cast<T>(rule.momentum)};
    }
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& v, T g) {
      v = f.momentum * v - f.lr * g;
      w = f.keep * w + v;
    }
  };
  struct Nesterov : Momentum {
    template <typename T>
    TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& v, T g) {
      v = f.momentum * v - f.lr * g;
      w = f.keep * w + (f.momentum * v - f.lr * g);
    }
  };
  using Forms = RuleForms<Plain, Momentum, Nesterov>;
  template <typename Visit>
  TRIREME_FORMULA void with_form(const Visit& visit) const {
    if (momentum == 0) {
      visit(Plain{*this});
    } else if (nesterov) {
      visit(Nesterov{{*this}});
    } else {
      visit(Momentum{*this});
    }
  }
};

}  // namespace trireme::rules
