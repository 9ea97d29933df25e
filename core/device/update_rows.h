// The arithmetic of optimizers over spans of elements, whichever part of a variable they are.
//
// Dense updates call it with a whole variable cut into pieces, sparse ones with the rows that a
// batch touched, a parameter server with its shard. An element's new value depends on that element
// only, so any cut gives the same bytes.
#pragma once

#include <array>
#include <span>

#include "core/device/update_elements.h"

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

template <typename T, typename Factors>
static void update_each(const Factors factors, const UpdateRows<T>& rows) {
  const size_t n = rows.variable.size();
  T* __restrict const w = rows.variable.data();
  const T* __restrict const g = rows.gradient.data();
  if constexpr (Factors::kSlots == 0) {
#pragma GCC ivdep
    for (size_t i = 0; i < n; ++i) update_element(factors, w[i], g[i]);
  } else if constexpr (Factors::kSlots == 1) {
    T* __restrict const a = rows.slots[0].data();
#pragma GCC ivdep
    for (size_t i = 0; i < n; ++i) update_element(factors, w[i], a[i], g[i]);
  } else {
    T* __restrict const a = rows.slots[0].data();
    T* __restrict const b = rows.slots[1].data();
#pragma GCC ivdep
    for (size_t i = 0; i < n; ++i) update_element(factors, w[i], a[i], b[i], g[i]);
  }
}

template <typename Rule, typename T>
static void update_rows(const Rule& rule, const UpdateStep& step, const UpdateRows<T>& rows) {
  with_factors<T>(rule, step, [&](const auto& factors) { update_each(factors, rows); });
}

}  // namespace trireme
