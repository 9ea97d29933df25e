#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> sorting_cases() {
  std::vector<OpCase> cases;
  const auto cumsum = [&](const std::string& label, OpInput x, int64_t axis, bool exclusive,
                          bool reverse) {
    cases.push_back({"CumSum",
                     label,
                     {std::move(x)},
                     {{"axis", axis}, {"exclusive", exclusive}, {"reverse", reverse}}});
  };
  for (const bool exclusive : {false, true}) {
    for (const bool reverse : {false, true}) {
      const std::string suffix =
          std::string(exclusive ? "_exclusive" : "") + (reverse ? "_reverse" : "");
      cumsum("last" + suffix, real({3, 5}), 1, exclusive, reverse);
      cumsum("first" + suffix, real({5, 3}), 0, exclusive, reverse);
      cumsum("middle" + suffix, real({2, 4, 3}), 1, exclusive, reverse);
    }
  }
  cumsum("none", real({3, 0}), 1, false, false);
  for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8})
    cumsum(std::string(name(dtype)), fixed(dtype, {3, 40}, 0, 99), 1, false, false);
  // Sums of one sign: what an f32 rounds is relative to them.
  for (auto [label, x, axis] :
       {std::tuple{"long", real({3001}, 0, 1), 0}, std::tuple{"wide", real({7, 601}, 0, 1), 0},
        std::tuple{"rows", real({301, 133}, 0, 1), 1}}) {
    cumsum(label, x, axis, false, false);
    cases.back().check_gradient = false;
    cases.back().tolerance_f32 = 1e-4;
  }

  const auto sort = [&](const std::string& label, OpInput x, bool descending, int64_t count) {
    cases.push_back(
        {"Sort", label, {std::move(x)}, {{"descending", descending}, {"count", count}}});
  };
  for (const bool descending : {false, true}) {
    const std::string suffix = descending ? "_descending" : "";
    sort("rows" + suffix, real({4, 6}), descending, -1);
    sort("some" + suffix, real({4, 6}), descending, 2);
    sort("vector" + suffix, real({17}), descending, 17);
    sort("one" + suffix, real({3, 1}), descending, 1);
    sort("none_taken" + suffix, real({3, 4}), descending, 0);
    cases.back().check_gradient = false;
    sort("empty" + suffix, real({3, 0}), descending, -1);
    cases.back().check_gradient = false;
    // Many are equal: their order must be that of their positions.
    for (const DType dtype : {DType::kInt32, DType::kInt64, DType::kUInt8}) {
      sort(std::string(name(dtype)) + suffix, fixed(dtype, {5, 77}, 0, 9), descending, -1);
      sort(std::string(name(dtype)) + "_some" + suffix, fixed(dtype, {5, 77}, 0, 9), descending,
           11);
    }
    sort("long" + suffix, real({3, 1003}), descending, -1);
    cases.back().check_gradient = false;
    sort("many_rows" + suffix, real({701, 33}), descending, 5);
    cases.back().check_gradient = false;
  }
  return cases;
}

}  // namespace trireme::testing
