#pragma once

#include "core/rules/adam.h"

namespace trireme::rules {

// As Adam, but what a step is divided by never falls: top = max(top, v), and
// w −= lr·√(1 − beta2^t)/(1 − beta1^t) · m / (√top + epsilon) (Reddi, Kale and Kumar 2018; with the
// correction of Adam, as in Keras).
struct Amsgrad : Adam {
  static constexpr RuleInfo kInfo{
      .name = "amsgrad",
      .help =
          "Adam whose steps are divided by the greatest mean so far (in Keras, Adam's amsgrad).",
      .has_step = true};

  static constexpr std::string_view kOp = "ApplyAmsgrad";
  static constexpr auto kSlots = slots("m", "v", "top");
  template <typename T>
  TRIREME_FORMULA static void update(const Factors<T>& f, T& w, T& m, T& v, T& top, T g) {
    m += f.rest1 * (g - m);
    v += f.rest2 * (g * g - v);
    top = v > top ? v : top;
    w = f.keep * w - f.rate * m / (std::sqrt(top) + f.epsilon);
  }
};

}  // namespace trireme::rules
