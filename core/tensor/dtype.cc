#include "core/tensor/dtype.h"

#include <array>
#include <cmath>

#include "core/base/error.h"

namespace trireme {
namespace {

struct Row {
  DType dtype;
  size_t size;
  std::string_view name;
};

constexpr std::array<Row, 9> kRows = {{
    {DType::kFloat16, 2, "f16"},
    {DType::kBFloat16, 2, "bf16"},
    {DType::kFloat32, 4, "f32"},
    {DType::kFloat64, 8, "f64"},
    {DType::kInt32, 4, "i32"},
    {DType::kInt64, 8, "i64"},
    {DType::kUInt8, 1, "u8"},
    {DType::kBool, 1, "bool"},
    {DType::kString, sizeof(std::string), "string"},
}};

const Row& row(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  TRIREME_CHECK(index < kRows.size());
  return kRows[index];
}

}  // namespace

size_t size_of(DType dtype) { return row(dtype).size; }
std::string_view name(DType dtype) { return row(dtype).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

bool is_floating(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 ||
         dtype == DType::kFloat64;
}

bool is_integer(DType dtype) {
  return dtype == DType::kInt32 || dtype == DType::kInt64 || dtype == DType::kUInt8;
}

Half::Half(float value) {
  const uint32_t word = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (word >> 16) & 0x8000;
  const uint32_t magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    bits = static_cast<uint16_t>(sign | 0x7e00);  // NaN
  } else if (magnitude >= 0x477ff000) {
    bits = static_cast<uint16_t>(sign | 0x7c00);  // rounds to infinity
  } else if (magnitude >= 0x38800000) {
    const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
    bits = static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
  } else {
    // Subnormal: a multiple of 2^-24; nearbyint rounds to even in the default mode.
    const float scaled = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f);
    bits = static_cast<uint16_t>(sign | static_cast<uint32_t>(scaled));
  }
}

Half::operator float() const {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13));
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace trireme
