#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> normalization_cases() {
  std::vector<OpCase> cases;
  for (const Shape& x : {Shape{5, 1}, Shape{5, 3}, Shape{2, 3, 2}, Shape{2, 2, 3, 2}, Shape{97, 16},
                         Shape{3, 14, 14, 6}, Shape{4, 9, 11, 33}, Shape{20011, 3}}) {
    const Shape channels = x.last(1);
    const bool small = x.elements() <= 24;
    const std::string label = str_cat("rank_", x.rank(), "_", x.elements());
    cases.push_back({"BatchNorm",
                     label,
                     {real(x), statistic(channels), statistic(channels)},
                     {{"epsilon", 1e-3}}});
    cases.push_back(
        {"BatchNormGrad",
         label,
         {real(x), real(x), statistic(channels), statistic(channels), statistic(channels, 0.5, 2)},
         {{"epsilon", 1e-2}}});
    cases.push_back(
        {"BatchNormStatistics", label, {real(x), statistic(channels)}, {{"epsilon", 1e-3}}});
    for (size_t i = cases.size() - 3; i < cases.size(); ++i) {
      cases[i].check_gradient = small;
      cases[i].gradient_tolerance = 2e-5;
      cases[i].tolerance_f32 = small ? 2e-5 : 2e-4;
    }
  }
  // A mean that is large beside the spread must not cost the variance its digits.
  cases.push_back({"BatchNorm",
                   "large_mean",
                   {real({1001, 5}, 99, 101), statistic({5}), statistic({5})},
                   {{"epsilon", 1e-3}},
                   2e-4});
  cases.back().check_gradient = false;
  return cases;
}

}  // namespace trireme::testing
