// Integer arithmetic that wraps around, as it does in TensorFlow and on every processor.
#pragma once

#include <type_traits>

namespace trireme {

// An integer as an unsigned one, whose overflow is defined; other numbers as they are.
template <typename T>
constexpr auto wrapping(T x) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<std::make_unsigned_t<T>>(x);
  } else {
    return x;
  }
}

}  // namespace trireme
