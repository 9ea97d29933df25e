#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> indexing_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kInt32, DType::kInt64}) {
    const std::string suffix = "_" + std::string(name(dtype));
    const auto indices = [&](const Shape& shape, double rows) {
      return fixed(dtype, shape, 0, rows);
    };
    for (const char* op : {"Gather", "EmbeddingLookup"}) {
      cases.push_back({op, "vector" + suffix, {real({5, 3}), indices({4}, 5)}});
      cases.push_back({op, "matrix_with_repeats" + suffix, {real({3, 2}), indices({2, 4}, 3)}});
      cases.push_back({op, "scalar_index" + suffix, {real({4, 3}), indices({}, 4)}});
      cases.push_back({op, "wide_rows" + suffix, {real({3, 2, 5}), indices({2}, 3)}});
      cases.push_back({op, "numbers" + suffix, {real({7}), indices({5}, 7)}});
      cases.push_back({op, "none" + suffix, {real({7, 2}), indices({0}, 7)}});
      cases.push_back({op, "long" + suffix, {real({1003, 33}), indices({2001}, 1003)}});
      cases.back().check_gradient = false;
    }
    cases.push_back(
        {"ScatterAdd", "repeats" + suffix, {indices({7}, 4), real({7, 3}), real({4, 3})}});
    cases.push_back(
        {"ScatterAdd", "matrix" + suffix, {indices({2, 3}, 4), real({2, 3, 2}), real({4, 2})}});
    cases.push_back({"ScatterAdd", "numbers" + suffix, {indices({9}, 5), real({9}), real({5})}});
    cases.push_back({"ScatterAdd", "none" + suffix, {indices({0}, 5), real({0, 2}), real({5, 2})}});
    cases.push_back(
        {"ScatterAdd", "long" + suffix, {indices({5001}, 303), real({5001, 33}), real({303, 33})}});
    cases.back().check_gradient = false;
    for (const DType to : {DType::kFloat32, DType::kFloat64, DType::kInt32}) {
      // Two indices lie outside and give zeros.
      cases.push_back({"OneHot",
                       std::string(name(to)) + suffix,
                       {fixed(dtype, {6, 5}, -1, 5)},
                       {{"depth", int64_t{4}}, {"dtype", to}}});
    }
  }
  return cases;
}

}  // namespace trireme::testing
