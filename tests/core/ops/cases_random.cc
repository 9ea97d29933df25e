#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> random_cases() {
  const OpInput key = fixed(DType::kInt64, {2}, 3, 90);
  std::vector<OpCase> cases;
  // Rows that are shorter than, not a multiple of, and as long as a block of four; blocks that do
  // not fill a register; rows cut by what is drawn at a time, and many rows in one of those.
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{5, 3}, Shape{4, 8}, Shape{2, 3, 7},
                             Shape{0, 4}, Shape{77, 1033}, Shape{300, 5}}) {
    for (const char* op : {"RandomUniform", "RandomNormal", "RandomTruncatedNormal"}) {
      cases.push_back({op, shape.to_string(), {key, real(shape)}, {{"seed", int64_t{11}}}});
    }
    cases.push_back(
        {"Dropout", shape.to_string(), {real(shape), key}, {{"rate", 0.3}, {"seed", int64_t{-5}}}});
    cases.back().check_gradient = shape.elements() <= 64;
  }
  cases.push_back(
      {"Dropout", "rate_zero", {real({5, 3}), key}, {{"rate", 0.0}, {"seed", int64_t{1}}}});
  return cases;
}

}  // namespace trireme::testing
