// The step of an update, read from the card's memory by one thread of each block.
#pragma once

#include <type_traits>
#include <utility>

#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/cuda/kernels/update_table.h"
#include "core/rules/core_rules.h"

namespace trireme::cuda {

template <typename Rule>
using TableOf = UpdateTable<MostSlots<Rule>::kValue>;
template <typename Rule>
using SparseOf = SparseVariable<MostSlots<Rule>::kValue>;
template <typename Form>
using SlotsOf = std::make_index_sequence<static_cast<size_t>(kSlotsOf<Form>)>;

// A function's own, so that each kind of factors has one place in a block's memory.
template <typename Factors>
TRIREME_DEVICE Factors& factors_of_block() {
  __shared__ Factors factors;
  return factors;
}

// body(form, factors) with those of the step, of numbers C. Not where nothing is to change; all
// threads of a block go the same way.
template <typename C, typename Rule, typename Body>
TRIREME_DEVICE void with_step(const Rule& rule, const UpdateShared& shared, const Body& body) {
  if (shared.only_if != nullptr && !*shared.only_if) return;
  with_form(rule, [&](const auto& form) {
    using Form = std::remove_cvref_t<decltype(form)>;
    using Factors = typename Form::template Factors<C>;
    if (threadIdx.x == 0) {
      factors_of_block<Factors>() = form.template factors<C>(
          shared.lr == nullptr ? 0.0 : static_cast<double>(*shared.lr),
          shared.step == nullptr ? 1.0 : static_cast<double>(*shared.step));
    }
    __syncthreads();
    const Factors factors = factors_of_block<Factors>();
    body(form, factors);
  });
}

// V elements of a variable and its slots, from `at` on; `g` is their gradient. `state`: of the
// variable, then of the slots.
template <typename Form, typename T, int V, typename Factors, size_t... I>
TRIREME_DEVICE void update_vector(const Factors& factors, T* const* state, int64_t at,
                                  const Vector<Compute<T>, V>& g, std::index_sequence<I...>) {
  using C = Compute<T>;
  using Elements = Vector<T, V>;
  constexpr int kState = 1 + static_cast<int>(sizeof...(I));
  Elements elements[kState];
  for (int k = 0; k < kState; ++k) {
    elements[k] = *reinterpret_cast<const Elements*>(state[k] + at);
  }
  for (int i = 0; i < V; ++i) {
    C values[kState];
    for (int k = 0; k < kState; ++k) values[k] = to_compute(elements[k].at[i]);
    Form::update(factors, values[0], values[I + 1]..., g.at[i]);
    for (int k = 0; k < kState; ++k) elements[k].at[i] = from_compute<T>(values[k]);
  }
  for (int k = 0; k < kState; ++k) *reinterpret_cast<Elements*>(state[k] + at) = elements[k];
}

}  // namespace trireme::cuda
