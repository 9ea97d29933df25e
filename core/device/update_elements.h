// The arithmetic of optimizers for one element, once for all devices: a thread of a GPU calls it,
// and update_rows() for each element of a span.
//
// An element's new value depends on that element only. Slots are passed between the variable and
// the gradient.
#pragma once

#include "core/device/update_rules.h"

namespace trireme {

// What a form of a rule needs of a step, as numbers of the element's type, and its formula.

struct AssignFactors {
  static constexpr int kSlots = 0;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const AssignFactors&, T& w, T g) {
  w = g;
}

struct AssignAddFactors {
  static constexpr int kSlots = 0;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const AssignAddFactors&, T& w, T g) {
  w += g;
}

template <typename T>
struct MovingAverageFactors {
  static constexpr int kSlots = 0;
  T keep, take;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const MovingAverageFactors<T>& f, T& w, T g) {
  w = f.keep * w + f.take * g;
}

template <typename T>
struct SgdFactors {
  static constexpr int kSlots = 0;
  T lr, keep;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const SgdFactors<T>& f, T& w, T g) {
  w = f.keep * w - f.lr * g;
}

template <typename T>
struct MomentumFactors {
  static constexpr int kSlots = 1;
  T lr, keep, momentum;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const MomentumFactors<T>& f, T& w, T& v,
                                                      T g) {
  v = f.momentum * v - f.lr * g;
  w = f.keep * w + v;
}

template <typename T>
struct NesterovFactors {
  static constexpr int kSlots = 1;
  T lr, keep, momentum;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const NesterovFactors<T>& f, T& w, T& v,
                                                      T g) {
  v = f.momentum * v - f.lr * g;
  w = f.keep * w + (f.momentum * v - f.lr * g);
}

template <typename T>
struct RmsPropFactors {
  static constexpr int kSlots = 1;
  T lr, rho, rest, epsilon;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const RmsPropFactors<T>& f, T& w, T& s, T g) {
  s = f.rho * s + f.rest * (g * g);
  w -= f.lr * g / std::sqrt(s + f.epsilon);
}

template <typename T>
struct RmsPropMomentumFactors {
  static constexpr int kSlots = 2;
  T lr, rho, rest, epsilon, momentum;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const RmsPropMomentumFactors<T>& f, T& w,
                                                      T& s, T& m, T g) {
  s = f.rho * s + f.rest * (g * g);
  m = f.momentum * m + f.lr * g / std::sqrt(s + f.epsilon);
  w -= m;
}

template <typename T>
struct AdagradFactors {
  static constexpr int kSlots = 1;
  T lr, epsilon;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const AdagradFactors<T>& f, T& w, T& a, T g) {
  a += g * g;
  w -= f.lr * g / std::sqrt(a + f.epsilon);
}

template <typename T>
struct AdamFactors {
  static constexpr int kSlots = 2;
  T rate, keep, epsilon, rest1, rest2;
};
template <typename T>
TRIREME_HOST_DEVICE static inline void update_element(const AdamFactors<T>& f, T& w, T& m, T& v,
                                                      T g) {
  m += f.rest1 * (g - m);
  v += f.rest2 * (g * g - v);
  w = f.keep * w - f.rate * m / (std::sqrt(v) + f.epsilon);
}

// body(factors) with those of the rule's form at hand, of numbers T.
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const AssignRule&, const UpdateStep&,
                                                    const Body& body) {
  body(AssignFactors{});
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const AssignAddRule&, const UpdateStep&,
                                                    const Body& body) {
  body(AssignAddFactors{});
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const MovingAverageRule& rule,
                                                    const UpdateStep&, const Body& body) {
  body(MovingAverageFactors<T>{static_cast<T>(rule.momentum), static_cast<T>(1 - rule.momentum)});
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const SgdRule& rule, const UpdateStep& step,
                                                    const Body& body) {
  const T lr = static_cast<T>(step.lr), momentum = static_cast<T>(rule.momentum);
  const T keep = static_cast<T>(1 - step.lr * rule.weight_decay);
  if (rule.momentum == 0) {
    body(SgdFactors<T>{lr, keep});
  } else if (rule.nesterov) {
    body(NesterovFactors<T>{lr, keep, momentum});
  } else {
    body(MomentumFactors<T>{lr, keep, momentum});
  }
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const RmsPropRule& rule, const UpdateStep& step,
                                                    const Body& body) {
  const T lr = static_cast<T>(step.lr), rho = static_cast<T>(rule.rho),
          rest = static_cast<T>(1 - rule.rho), epsilon = static_cast<T>(rule.epsilon);
  if (rule.momentum == 0) {
    body(RmsPropFactors<T>{lr, rho, rest, epsilon});
  } else {
    body(RmsPropMomentumFactors<T>{lr, rho, rest, epsilon, static_cast<T>(rule.momentum)});
  }
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const AdagradRule& rule, const UpdateStep& step,
                                                    const Body& body) {
  body(AdagradFactors<T>{static_cast<T>(step.lr), static_cast<T>(rule.epsilon)});
}
template <typename T, typename Body>
TRIREME_HOST_DEVICE static inline void with_factors(const AdamRule& rule, const UpdateStep& step,
                                                    const Body& body) {
  body(AdamFactors<T>{static_cast<T>(step.rate), static_cast<T>(1 - step.lr * rule.weight_decay),
                      static_cast<T>(rule.epsilon), static_cast<T>(1 - rule.beta1),
                      static_cast<T>(1 - rule.beta2)});
}

}  // namespace trireme
