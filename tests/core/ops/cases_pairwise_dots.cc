#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> pairwise_dots_cases() {
  std::vector<OpCase> cases;
  // Fewer and more vectors and numbers than a kernel takes at a time, and none.
  for (const Shape& x : {Shape{3, 4, 5}, Shape{2, 2, 1}, Shape{2, 1, 3}, Shape{0, 3, 2},
                         Shape{2, 17, 16}, Shape{5, 27, 16}, Shape{3, 33, 18}}) {
    const bool is_small = x[1] * x[2] <= 32;
    const int64_t pairs = x[1] * (x[1] - 1) / 2;
    cases.push_back({"PairwiseDots", x.to_string(), {real(x)}});
    cases.back().check_gradient = is_small && pairs > 0;
    cases.push_back({"PairwiseDotsGrad", x.to_string(), {real(x), real({x[0], pairs})}});
    cases.back().check_gradient = is_small && pairs > 0;
    for (size_t i = cases.size() - 2; i < cases.size(); ++i) cases[i].tolerance_small = 0.05;
  }
  cases.push_back({"PairwiseDots", "many", {real({1003, 27, 16})}});
  cases.back().check_gradient = false;
  cases.push_back({"PairwiseDotsGrad", "many", {real({1003, 27, 16}), real({1003, 351})}});
  cases.back().check_gradient = false;
  return cases;
}

}  // namespace trireme::testing
