// Loops over the elements of an elementwise op, for the compiler to vectorise.
//
// The output may be the memory of an input. Elements then still depend on themselves only, which
// TRIREME_INDEPENDENT says: otherwise the compiler takes the slow loop where addresses are equal.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/device/element.h"

#ifdef __clang__
#define TRIREME_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TRIREME_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace trireme {

// y[i] = Formula::apply(x[i]), computed in C.
template <typename Formula, typename C, typename T, typename Out>
void unary_loop(const T* x, Out* y, int64_t n) {
  TRIREME_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) y[i] = convert<Out>(Formula::apply(convert<C>(x[i])));
}

// y[i] = Formula::apply(a[i], b[i]), computed in C; where a stride is 0, the input is one number.
template <typename Formula, typename C, typename T, typename Out>
void binary_loop(const T* a, int64_t a_stride, const T* b, int64_t b_stride, Out* y, int64_t n) {
  if (a_stride != 0 && b_stride != 0) {
    TRIREME_INDEPENDENT
    for (int64_t i = 0; i < n; ++i)
      y[i] = convert<Out>(Formula::apply(convert<C>(a[i]), convert<C>(b[i])));
  } else if (a_stride != 0) {
    const C right = convert<C>(b[0]);
    TRIREME_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) y[i] = convert<Out>(Formula::apply(convert<C>(a[i]), right));
  } else if (b_stride != 0) {
    const C left = convert<C>(a[0]);
    TRIREME_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) y[i] = convert<Out>(Formula::apply(left, convert<C>(b[i])));
  } else {
    std::fill(y, y + n, convert<Out>(Formula::apply(convert<C>(a[0]), convert<C>(b[0]))));
  }
}

}  // namespace trireme

#undef TRIREME_INDEPENDENT
