// Which number type an element is computed in, and how it gets there and back.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/tensor/dtype.h"

namespace trireme {

template <typename T>
inline constexpr bool is_small_float = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <typename T>
inline constexpr bool is_float_element = std::is_floating_point_v<T> || is_small_float<T>;

// 16-bit floats are computed in float, everything else in itself.
template <typename T>
using ComputeType = std::conditional_t<is_small_float<T>, float, T>;

// The reference computes in the widest type of its kind and rounds once.
template <typename T>
using WideType = std::conditional_t<is_float_element<T>, double,
                                    std::conditional_t<std::is_same_v<T, bool>, bool, int64_t>>;

template <typename To, typename From>
constexpr To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (is_small_float<From>) {
    return convert<To>(static_cast<float>(x));
  } else if constexpr (is_small_float<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace trireme
