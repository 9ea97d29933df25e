// The step of an update, read from the card's memory by one thread of each block.
#pragma once

#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/update_table.h"
#include "core/device/update_elements.h"

namespace trireme::cuda {

// False, for every thread of the block, where nothing is to change.
template <typename Rule>
TRIREME_DEVICE bool begin_block(const Rule& rule, const UpdateShared& shared, UpdateStep& step) {
  __shared__ double lr, rate;
  if (shared.only_if != nullptr && !*shared.only_if) return false;
  if (threadIdx.x == 0) {
    step = begin_step(rule, shared.lr == nullptr ? 0.0 : static_cast<double>(*shared.lr),
                      shared.step == nullptr ? 1 : *shared.step);
    lr = step.lr;
    rate = step.rate;
  }
  __syncthreads();
  step.lr = lr;
  step.rate = rate;
  return true;
}

// V elements of a variable and its slots, from `at` on; `g` is their gradient.
template <typename T, int V, typename Factors>
TRIREME_DEVICE void update_vector(const Factors& factors, T* variable, T* slot0, T* slot1,
                                  int64_t at, const Vector<Compute<T>, V>& g) {
  using C = Compute<T>;
  using Elements = Vector<T, V>;
  constexpr int kSlots = Factors::kSlots;
  Elements w = *reinterpret_cast<const Elements*>(variable + at), a, b;
  if (kSlots > 0) a = *reinterpret_cast<const Elements*>(slot0 + at);
  if (kSlots > 1) b = *reinterpret_cast<const Elements*>(slot1 + at);
  for (int i = 0; i < V; ++i) {
    C new_w = to_compute(w.at[i]);
    if constexpr (kSlots == 0) {
      update_element(factors, new_w, g.at[i]);
    } else if constexpr (kSlots == 1) {
      C new_a = to_compute(a.at[i]);
      update_element(factors, new_w, new_a, g.at[i]);
      a.at[i] = from_compute<T>(new_a);
    } else {
      C new_a = to_compute(a.at[i]), new_b = to_compute(b.at[i]);
      update_element(factors, new_w, new_a, new_b, g.at[i]);
      a.at[i] = from_compute<T>(new_a);
      b.at[i] = from_compute<T>(new_b);
    }
    w.at[i] = from_compute<T>(new_w);
  }
  *reinterpret_cast<Elements*>(variable + at) = w;
  if (kSlots > 0) *reinterpret_cast<Elements*>(slot0 + at) = a;
  if (kSlots > 1) *reinterpret_cast<Elements*>(slot1 + at) = b;
}

}  // namespace trireme::cuda
