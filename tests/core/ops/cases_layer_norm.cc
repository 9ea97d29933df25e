#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> layer_norm_cases() {
  std::vector<OpCase> cases;
  for (const Shape& x : {Shape{3}, Shape{1, 1}, Shape{5, 3}, Shape{2, 3, 4}, Shape{7, 16},
                         Shape{97, 33}, Shape{3, 41, 128}, Shape{5, 1030}, Shape{20011, 5}}) {
    const Shape channels = x.last(1), rows = x.first(x.rank() - 1);
    const std::string label = str_cat("rank_", x.rank(), "_", x.elements());
    cases.push_back({"LayerNorm",
                     label,
                     {real(x), statistic(channels), statistic(channels)},
                     {{"epsilon", 1e-2}}});
    cases.push_back(
        {"LayerNormGrad",
         label,
         {real(x), real(x), statistic(channels), statistic(rows), statistic(rows, 0.5, 2)},
         {}});
    const bool small = x.elements() <= 24;
    for (size_t i = cases.size() - 2; i < cases.size(); ++i) {
      cases[i].check_gradient = small && x.elements() > 1;
      cases[i].gradient_tolerance = 2e-5;
      cases[i].tolerance_f32 = small ? 2e-5 : 2e-4;
    }
  }
  // A mean that is large beside the spread must not cost the variance its digits.
  cases.push_back({"LayerNorm",
                   "large_mean",
                   {real({11, 257}, 99, 101), statistic({257}), statistic({257})},
                   {{"epsilon", 1e-3}},
                   2e-4});
  cases.back().check_gradient = false;
  return cases;
}

}  // namespace trireme::testing
