#include <gmock/gmock.h>

#include <cmath>

#include "core/autodiff/gradients.h"
#include "core/ops/ops.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

Tensor key(int64_t step, int64_t first_example) {
  return Tensor::from<int64_t>({2}, {step, first_example});
}

class RandomTest : public ::testing::TestWithParam<const char*> {
 protected:
  Tensor run(Value y, Tensor x, Tensor k) {
    return evaluate({y}, {{x_, x}, {key_, k}}, GetParam())[0];
  }

  Graph graph_{core_op_table()};
  Value x_ = ops::placeholder(graph_, "x", DType::kFloat32, {-1, 37});
  Value key_ = ops::placeholder(graph_, "key", DType::kInt64, {2});
};

// The promise of the project: the same job drops the same units on 1, 2 or 4 workers.
TEST_P(RandomTest, RowsDoNotDependOnHowTheBatchIsSplit) {
  const Tensor x = random_tensor(DType::kFloat32, {12, 37}, 1, 2, 3);
  for (const Value y : {ops::dropout(x_, key_, 0.4, 9), ops::random_uniform(key_, x_, 9),
                        ops::random_normal(key_, x_, 9)}) {
    const Tensor whole = run(y, x, key(5, 100));
    for (const int64_t parts : {2, 4}) {
      const int64_t rows = 12 / parts;
      for (int64_t part = 0; part < parts; ++part) {
        const Tensor own =
            run(y, x.rows(part * rows, (part + 1) * rows).clone(), key(5, 100 + part * rows));
        EXPECT_EQ(difference(own, whole.rows(part * rows, (part + 1) * rows), 0), "")
            << y.node->op().name;
      }
    }
  }
}

TEST_P(RandomTest, StepsExamplesAndSeedsDiffer) {
  const Tensor x = Tensor::zeros(DType::kFloat32, {2, 37});
  const Value y = ops::random_uniform(key_, x_, 9);
  const Tensor base = run(y, x, key(5, 100));
  EXPECT_NE(difference(run(y, x, key(6, 100)), base, 0), "");
  EXPECT_NE(difference(run(y, x, key(5, 102)), base, 0), "");
  EXPECT_NE(difference(run(ops::random_uniform(key_, x_, 10), x, key(5, 100)), base, 0), "");
}

TEST_P(RandomTest, DropoutKeepsTheMeanAndItsRate) {
  Tensor ones(DType::kFloat32, {1000, 37});
  for (float& v : ones.flat<float>()) v = 1;
  const Tensor y = run(ops::dropout(x_, key_, 0.3, 9), ones, key(1, 0));
  double zeros = 0, sum = 0;
  for (int64_t i = 0; i < y.elements(); ++i) {
    zeros += y.as_double(i) == 0 ? 1 : 0;
    sum += y.as_double(i);
  }
  EXPECT_NEAR(zeros / 37000, 0.3, 0.01);  // four standard deviations
  EXPECT_NEAR(sum / 37000, 1.0, 0.015);
}

TEST_P(RandomTest, NormalNumbersAreStandard) {
  const Tensor y =
      run(ops::random_normal(key_, x_, 9), Tensor::zeros(DType::kFloat32, {1000, 37}), key(1, 0));
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < y.elements(); ++i) {
    ASSERT_TRUE(std::isfinite(y.as_double(i)));
    sum += y.as_double(i);
    squares += y.as_double(i) * y.as_double(i);
  }
  EXPECT_NEAR(sum / 37000, 0, 0.021);
  EXPECT_NEAR(squares / 37000, 1, 0.03);
}

TEST_P(RandomTest, DropoutGradientHasTheSameMask) {
  const Value y = ops::dropout(x_, key_, 0.5, 4);
  const Value grad = gradients(y, std::vector{x_})[0].values;
  Tensor ones(DType::kFloat32, {3, 37});
  for (float& v : ones.flat<float>()) v = 1;
  EXPECT_EQ(difference(run(grad, ones, key(2, 0)), run(y, ones, key(2, 0)), 0), "");
}

INSTANTIATE_TEST_SUITE_P(Devices, RandomTest, ::testing::Values("reference", "cpu"));

}  // namespace
}  // namespace trireme::testing
