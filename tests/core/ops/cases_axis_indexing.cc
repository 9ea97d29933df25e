#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

struct Pick {
  const char* label;
  Shape whole;
  int64_t axis, batch_dims;
  Shape indices, picked;
};

// The axes before, between and after that kernels tell apart.
const Pick kPicks[] = {
    {"middle", {2, 5, 3}, 1, 0, {4}, {2, 4, 3}},
    {"last", {4, 5}, 1, 0, {3}, {4, 3}},
    {"matrix_of_indices", {2, 5, 2}, 1, 0, {2, 3}, {2, 2, 3, 2}},
    {"one_index", {2, 5, 3}, 1, 0, {}, {2, 3}},
    {"batched", {3, 5, 2}, 1, 1, {3, 4}, {3, 4, 2}},
    {"batched_last", {3, 5}, 1, 1, {3, 4}, {3, 4}},
    {"two_batch_axes", {2, 3, 5}, 2, 2, {2, 3, 4}, {2, 3, 4}},
    {"batch_and_outer", {2, 3, 5, 2}, 2, 1, {2, 4}, {2, 3, 4, 2}},
    {"no_index", {2, 5}, 1, 0, {0}, {2, 0}},
    {"first", {5, 3}, 0, 0, {4}, {4, 3}},
    {"long", {31, 203, 7}, 1, 1, {31, 301}, {31, 301, 7}},
    {"long_last", {301, 203}, 1, 1, {301, 103}, {301, 103}},
};

}  // namespace

std::vector<OpCase> axis_indexing_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kInt32, DType::kInt64}) {
    const std::string suffix = "_" + std::string(name(dtype));
    const auto indices = [&](const Shape& shape, int64_t rows) {
      return fixed(dtype, shape, 0, static_cast<double>(rows));
    };
    for (const Pick& pick : kPicks) {
      const int64_t rows = pick.whole[static_cast<int>(pick.axis)];
      const Attributes attributes = {{"axis", pick.axis}, {"batch_dims", pick.batch_dims}};
      const bool is_small = pick.whole.elements() <= 64 && pick.picked.elements() > 0;
      cases.push_back({"GatherAxis",
                       pick.label + suffix,
                       {real(pick.whole), indices(pick.indices, rows)},
                       attributes});
      cases.back().check_gradient = is_small;
      cases.push_back({"ScatterAxis",
                       pick.label + suffix,
                       {indices(pick.indices, rows), real(pick.picked), real(pick.whole)},
                       attributes});
      cases.back().check_gradient = is_small;
    }
    cases.push_back({"FlatIndex",
                     "two_of_three" + suffix,
                     {indices({5, 2}, 3), fixed(dtype, {3, 4, 2}, 0, 9)}});
    cases.push_back(
        {"FlatIndex", "all" + suffix, {indices({2, 5, 3}, 2), fixed(dtype, {3, 4, 2}, 0, 9)}});
    cases.push_back({"FlatIndex", "none" + suffix, {indices({5, 0}, 2), fixed(dtype, {3}, 0, 9)}});
    cases.push_back(
        {"FlatIndex", "vector" + suffix, {indices({2}, 3), fixed(dtype, {3, 4}, 0, 9)}});
    // Two segments, so that none is without rows: the gradient of −∞ cannot be compared.
    cases.push_back(
        {"SegmentMax", "rows" + suffix, {real({11, 3}), indices({11}, 2), real({2, 3})}});
    cases.push_back({"SegmentMax", "numbers" + suffix, {real({13}), indices({13}, 2), real({2})}});
    cases.push_back({"SegmentMax",
                     "segments_without_rows" + suffix,
                     {real({3, 2}), indices({3}, 2), real({5, 2})}});
    cases.back().check_gradient = false;
    cases.push_back(
        {"SegmentMax", "no_rows" + suffix, {real({0, 3}), indices({0}, 4), real({4, 3})}});
    cases.back().check_gradient = false;
    cases.push_back(
        {"SegmentMax", "long" + suffix, {real({2001, 33}), indices({2001}, 303), real({303, 33})}});
    cases.back().check_gradient = false;
  }
  for (const DType dtype : {DType::kInt32, DType::kUInt8, DType::kBool}) {
    cases.push_back({"GatherAxis",
                     str_cat("of_", name(dtype)),
                     {fixed(dtype, {3, 5, 2}, 0, 2), fixed(DType::kInt32, {3, 4}, 0, 5)},
                     {{"axis", int64_t{1}}, {"batch_dims", int64_t{1}}}});
  }
  cases.push_back({"SegmentMax",
                   "of_i32",
                   {fixed(DType::kInt32, {7, 3}, -9, 9), fixed(DType::kInt32, {7}, 0, 4),
                    fixed(DType::kInt32, {4, 3}, 0, 9)}});
  return cases;
}

}  // namespace trireme::testing
