#include "core/base/error.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> cases;
  const auto add = [&](const char* op, const std::string& label, std::vector<OpInput> inputs,
                       bool check_gradient) {
    cases.push_back({op, label, std::move(inputs)});
    cases.back().check_gradient = check_gradient;
  };
  for (const Shape& x : {Shape{4}, Shape{3, 5}, Shape{2, 2, 3}, Shape{3, 1}, Shape{128, 10},
                         Shape{37, 1001}, Shape{3001, 17}}) {
    const bool small = x.elements() <= 24;
    const std::string label = str_cat("rank_", x.rank(), "_", x.elements());
    add("Softmax", label, {real(x)}, small);
    add("LogSoftmax", label, {real(x)}, small);
    add("SigmoidCrossEntropy", label, {real(x), real(x, 0, 1)}, small);
    if (x.rank() != 2) continue;
    for (const DType labels : {DType::kInt32, DType::kInt64}) {
      add("SparseSoftmaxCrossEntropy", str_cat(label, "_", name(labels)),
          {real(x), fixed(labels, x.first(1), 0, static_cast<double>(x[1]))}, small);
    }
  }
  // The plain formulas overflow or lose everything here.
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    add(op, "large", {real({9, 11}, -300, 300)}, false);
  }
  add("SigmoidCrossEntropy", "large", {real({9, 11}, -300, 300), real({9, 11}, 0, 1)}, false);
  add("SparseSoftmaxCrossEntropy", "large",
      {real({9, 11}, -300, 300), fixed(DType::kInt64, {9}, 0, 11)}, false);
  return cases;
}

}  // namespace trireme::testing
