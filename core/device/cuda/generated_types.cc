#include "core/device/cuda/generated_types.h"

#include <cmath>
#include <cstdio>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

bool is_half_size(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16; }

}  // namespace

std::string_view storage_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return "Half";
    case DType::kBFloat16:
      return "BFloat16";
    case DType::kFloat32:
      return "float";
    case DType::kFloat64:
      return "double";
    case DType::kInt32:
      return "int";
    case DType::kInt64:
      return "long long";
    case DType::kUInt8:
      return "unsigned char";
    default:
      return "bool";
  }
}

std::string_view value_type(DType dtype) {
  return is_half_size(dtype) ? "float" : storage_type(dtype);
}

FormulaType formula_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return {"f64", "double", "double"};
    case DType::kInt32:
    case DType::kUInt8:
      return {"i32", "int", "unsigned int"};
    case DType::kInt64:
      return {"i64", "long long", "unsigned long long"};
    case DType::kBool:
      return {"bool", "bool", "bool"};
    default:
      return {"f32", "float", "float"};
  }
}

std::string literal(DType dtype, double value) {
  if (dtype == DType::kBool) return value != 0 ? "true" : "false";
  if (is_integer(dtype)) {
    // The lowest i64 is no literal: a minus is an operator.
    const auto whole = static_cast<int64_t>(value);
    return whole == INT64_MIN
               ? "(-9223372036854775807LL - 1)"
               : str_cat(value_type(dtype) == "long long" ? "" : "(int)", whole, "LL");
  }
  const std::string type(value_type(dtype));
  if (std::isnan(value)) return "(" + type + ")__int_as_float(0x7fffffff)";
  if (std::isinf(value)) {
    return "(" + type + ")__int_as_float(" + (value > 0 ? "0x7f800000" : "(int)0xff800000u") + ")";
  }
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return "(" + type + ")" + (value < 0 ? "(" + std::string(text) + ")" : text);
}

}  // namespace trireme::cuda
