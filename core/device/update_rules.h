// The rules of optimizers, and what a step fixes for all elements.
//
// Everything here and in update_elements.h and update_rows.h has internal linkage (static): they
// are compiled for several processor levels, and the linker must not pick one of them for all. GPU
// kernels include them too.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/graph/attributes.h"

namespace trireme {

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
TRIREME_HOST_DEVICE static UpdateStep begin_step(const Rule&, double lr, int64_t) {
  return {lr, lr};
}
[[maybe_unused]] TRIREME_HOST_DEVICE static UpdateStep begin_step(const AdamRule& rule, double lr,
                                                                  int64_t step) {
  const double t = static_cast<double>(step);
  return {lr, lr * std::sqrt(1 - std::pow(rule.beta2, t)) / (1 - std::pow(rule.beta1, t))};
}

}  // namespace trireme
