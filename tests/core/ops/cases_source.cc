#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> source_cases() {
  return {
      {"FillLike", "odd", {real({3, 5})}, {{"value", 2.5}}},
      {"FillLike", "scalar", {real({})}, {{"value", -1.0}}},
      {"FillLike", "empty", {real({0, 4})}, {{"value", 1.0}}},
      {"FillLike", "large_i64", {fixed(DType::kInt64, {70001}, 0, 9)}, {{"value", 7.0}}},
      {"Identity", "odd", {real({3, 5})}},
      {"StopGradient", "odd", {real({3, 5})}},
      {"Copy", "odd", {real({3, 5})}},
      {"Copy", "empty", {real({0, 5})}},
  };
}

}  // namespace trireme::testing
