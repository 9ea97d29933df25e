// Numbers in device memory, for the fake libraries: read as double, written rounded once.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace trireme::fake_cuda {

enum class Element { kF16, kBf16, kF32, kF64 };

inline size_t size_of(Element type) {
  return type == Element::kF64 ? 8 : type == Element::kF32 ? 4 : 2;
}

inline double read_element(const void* from, Element type, int64_t i) {
  switch (type) {
    case Element::kF16:
      return static_cast<double>(static_cast<const _Float16*>(from)[i]);
    case Element::kBf16:
      return std::bit_cast<float>(uint32_t{static_cast<const uint16_t*>(from)[i]} << 16);
    case Element::kF32:
      return static_cast<const float*>(from)[i];
    default:
      return static_cast<const double*>(from)[i];
  }
}

inline void write_element(void* to, Element type, int64_t i, double value) {
  const auto single = static_cast<float>(value);
  switch (type) {
    case Element::kF16:
      static_cast<_Float16*>(to)[i] = static_cast<_Float16>(single);
      return;
    case Element::kBf16: {
      const auto word = std::bit_cast<uint32_t>(single);
      static_cast<uint16_t*>(to)[i] = static_cast<uint16_t>(
          value != value ? (word >> 16) | 0x40 : (word + 0x7fff + ((word >> 16) & 1)) >> 16);
      return;
    }
    case Element::kF32:
      static_cast<float*>(to)[i] = single;
      return;
    case Element::kF64:
      static_cast<double*>(to)[i] = value;
      return;
  }
}

}  // namespace trireme::fake_cuda
