// The arithmetic of optimizers, once: over spans of elements, whichever part of a variable they
// are.
//
// Dense updates call it with a whole variable cut into pieces, sparse ones with the rows that a
// batch touched, a parameter server with its shard. An element's new value depends on that element
// only, so any cut gives the same bytes.
//
// Everything here has internal linkage (static): the file is compiled for several processor levels,
// and the linker must not pick one of them for all.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/graph/attributes.h"

namespace trireme {

// The same elements of a variable, its slots and its gradient. REQUIRES: equal sizes; slots as the
// rule's slots() says.
template <typename T>
struct UpdateRows {
  std::span<T> variable;
  std::array<std::span<T>, 2> slots;
  std::span<const T> gradient;

  UpdateRows part(size_t begin, size_t count) const {
    UpdateRows rows{variable.subspan(begin, count), {}, gradient.subspan(begin, count)};
    for (size_t i = 0; i < slots.size(); ++i) {
      if (!slots[i].empty()) rows.slots[i] = slots[i].subspan(begin, count);
    }
    return rows;
  }
};

// What holds for all elements of one step. Made by begin_step(), once a step.
struct UpdateStep {
  double lr = 0;
  double rate = 0;  // of Adam: lr, corrected for moments that began at zero
};

// variable = gradient; variable += gradient; variable = momentum·variable + (1 −
// momentum)·gradient.
struct AssignRule {
  explicit AssignRule(const Attributes&) {}
};
struct AssignAddRule {
  explicit AssignAddRule(const Attributes&) {}
};
struct MovingAverageRule {
  double momentum;
  explicit MovingAverageRule(const Attributes& a) : momentum(a.get<double>("momentum")) {}
};

// w −= lr·weight_decay·w, then w −= lr·g; with momentum v = momentum·v − lr·g and w += v, or for
// Nesterov's w += momentum·v − lr·g. Slots: v, when momentum is not 0. As in Keras.
struct SgdRule {
  double momentum, weight_decay;
  bool nesterov;
  explicit SgdRule(const Attributes& a)
      : momentum(a.get<double>("momentum")),
        weight_decay(a.get<double>("weight_decay")),
        nesterov(a.get<bool>("nesterov")) {}
};

// s = rho·s + (1 − rho)·g²; d = lr·g / √(s + epsilon); w −= d, or with momentum m = momentum·m + d
// and w −= m (Hinton 2012; epsilon inside the root, as in Keras). Slots: s; m when momentum is not
// 0.
struct RmsPropRule {
  double rho, momentum, epsilon;
  explicit RmsPropRule(const Attributes& a)
      : rho(a.get<double>("rho")),
        momentum(a.get<double>("momentum")),
        epsilon(a.get<double>("epsilon")) {}
};

// a += g²; w −= lr·g / √(a + epsilon) (Duchi et al. 2011; epsilon inside the root, as in Keras).
// Slots: a.
struct AdagradRule {
  double epsilon;
  explicit AdagradRule(const Attributes& a) : epsilon(a.get<double>("epsilon")) {}
};

// w −= lr·weight_decay·w; m += (1 − beta1)·(g − m); v += (1 − beta2)·(g² − v);
// w −= lr·√(1 − beta2^t)/(1 − beta1^t) · m / (√v + epsilon) (Kingma and Ba 2015, section 2, the
// last form, as in Keras; the decay of Loshchilov and Hutter 2019). Slots: m, v.
struct AdamRule {
  double beta1, beta2, epsilon, weight_decay;
  explicit AdamRule(const Attributes& a)
      : beta1(a.get<double>("beta1")),
        beta2(a.get<double>("beta2")),
        epsilon(a.get<double>("epsilon")),
        weight_decay(a.get<double>("weight_decay")) {}
};

// `step` counts from 1.
template <typename Rule>
static UpdateStep begin_step(const Rule&, double lr, int64_t) {
  return {lr, lr};
}
[[maybe_unused]] static UpdateStep begin_step(const AdamRule& rule, double lr, int64_t step) {
  const double t = static_cast<double>(step);
  return {lr, lr * std::sqrt(1 - std::pow(rule.beta2, t)) / (1 - std::pow(rule.beta1, t))};
}

template <typename T>
static void update_rows(const AssignRule&, const UpdateStep&, const UpdateRows<T>& rows) {
  std::copy(rows.gradient.begin(), rows.gradient.end(), rows.variable.begin());
}

template <typename T>
static void update_rows(const AssignAddRule&, const UpdateStep&, const UpdateRows<T>& rows) {
  T* const w = rows.variable.data();
  const T* const g = rows.gradient.data();
  for (size_t i = 0; i < rows.variable.size(); ++i) w[i] += g[i];
}

template <typename T>
static void update_rows(const MovingAverageRule& rule, const UpdateStep&,
                        const UpdateRows<T>& rows) {
  const T keep = static_cast<T>(rule.momentum), take = static_cast<T>(1 - rule.momentum);
  T* const w = rows.variable.data();
  const T* const g = rows.gradient.data();
  for (size_t i = 0; i < rows.variable.size(); ++i) w[i] = keep * w[i] + take * g[i];
}

template <typename T>
static void update_rows(const SgdRule& rule, const UpdateStep& step, const UpdateRows<T>& rows) {
  const T lr = static_cast<T>(step.lr), momentum = static_cast<T>(rule.momentum);
  const T keep = static_cast<T>(1 - step.lr * rule.weight_decay);
  const size_t n = rows.variable.size();
  T* __restrict const w = rows.variable.data();
  T* __restrict const v = rows.slots[0].data();
  const T* __restrict const g = rows.gradient.data();
  if (rule.momentum == 0) {
    for (size_t i = 0; i < n; ++i) w[i] = keep * w[i] - lr * g[i];
  } else if (rule.nesterov) {
    for (size_t i = 0; i < n; ++i) {
      v[i] = momentum * v[i] - lr * g[i];
      w[i] = keep * w[i] + (momentum * v[i] - lr * g[i]);
    }
  } else {
    for (size_t i = 0; i < n; ++i) {
      v[i] = momentum * v[i] - lr * g[i];
      w[i] = keep * w[i] + v[i];
    }
  }
}

template <typename T>
static void update_rows(const RmsPropRule& rule, const UpdateStep& step,
                        const UpdateRows<T>& rows) {
  const T lr = static_cast<T>(step.lr), rho = static_cast<T>(rule.rho),
          rest = static_cast<T>(1 - rule.rho);
  const T momentum = static_cast<T>(rule.momentum), epsilon = static_cast<T>(rule.epsilon);
  const size_t n = rows.variable.size();
  T* __restrict const w = rows.variable.data();
  T* __restrict const s = rows.slots[0].data();
  T* __restrict const m = rows.slots[1].data();
  const T* __restrict const g = rows.gradient.data();
  if (rule.momentum == 0) {
    for (size_t i = 0; i < n; ++i) {
      s[i] = rho * s[i] + rest * (g[i] * g[i]);
      w[i] -= lr * g[i] / std::sqrt(s[i] + epsilon);
    }
  } else {
    for (size_t i = 0; i < n; ++i) {
      s[i] = rho * s[i] + rest * (g[i] * g[i]);
      m[i] = momentum * m[i] + lr * g[i] / std::sqrt(s[i] + epsilon);
      w[i] -= m[i];
    }
  }
}

template <typename T>
static void update_rows(const AdagradRule& rule, const UpdateStep& step,
                        const UpdateRows<T>& rows) {
  const T lr = static_cast<T>(step.lr), epsilon = static_cast<T>(rule.epsilon);
  T* __restrict const w = rows.variable.data();
  T* __restrict const a = rows.slots[0].data();
  const T* __restrict const g = rows.gradient.data();
  for (size_t i = 0; i < rows.variable.size(); ++i) {
    a[i] += g[i] * g[i];
    w[i] -= lr * g[i] / std::sqrt(a[i] + epsilon);
  }
}

template <typename T>
static void update_rows(const AdamRule& rule, const UpdateStep& step, const UpdateRows<T>& rows) {
  const T rate = static_cast<T>(step.rate);
  const T keep = static_cast<T>(1 - step.lr * rule.weight_decay),
          epsilon = static_cast<T>(rule.epsilon);
  const T rest1 = static_cast<T>(1 - rule.beta1), rest2 = static_cast<T>(1 - rule.beta2);
  T* __restrict const w = rows.variable.data();
  T* __restrict const m = rows.slots[0].data();
  T* __restrict const v = rows.slots[1].data();
  const T* __restrict const g = rows.gradient.data();
  for (size_t i = 0; i < rows.variable.size(); ++i) {
    m[i] += rest1 * (g[i] - m[i]);
    v[i] += rest2 * (g[i] * g[i] - v[i]);
    w[i] = keep * w[i] - rate * m[i] / (std::sqrt(v[i]) + epsilon);
  }
}

}  // namespace trireme
