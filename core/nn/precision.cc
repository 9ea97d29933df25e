#include "core/nn/precision.h"

#include "core/base/error.h"

namespace trireme::nn {

Precision precision_from_name(std::string_view name) {
  if (name == "float32" || name == "f32") return Precision::kFloat32;
  if (name == "mixed_bfloat16" || name == "bf16") return Precision::kMixedBFloat16;
  if (name == "mixed_float16" || name == "f16") return Precision::kMixedFloat16;
  throw invalid_argument("unknown precision \"", name,
                         "\"; known are float32 (f32), mixed_bfloat16 (bf16) and mixed_float16 "
                         "(f16)");
}

std::string_view name(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kMixedBFloat16:
      return "mixed_bfloat16";
    case Precision::kMixedFloat16:
      return "mixed_float16";
  }
  TRIREME_CHECK(false, "precision ", static_cast<int>(precision));
}

DType product_dtype(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return DType::kFloat32;
    case Precision::kMixedBFloat16:
      return DType::kBFloat16;
    case Precision::kMixedFloat16:
      return DType::kFloat16;
  }
  TRIREME_CHECK(false, "precision ", static_cast<int>(precision));
}

}  // namespace trireme::nn
