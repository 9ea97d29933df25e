#include <gmock/gmock.h>

#include <array>
#include <cmath>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
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
                        ops::random_normal(key_, x_, 9), ops::random_truncated_normal(key_, x_, 9),
                        ops::categorical(x_, key_, 9), ops::random_integers(key_, x_, 9, 0, 99)}) {
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

// Numbers of the normal distribution within ±2 have this standard deviation.
TEST_P(RandomTest, TruncatedNormalNumbersAreNormalWithinTwo) {
  const Tensor y = run(ops::random_truncated_normal(key_, x_, 9),
                       Tensor::zeros(DType::kFloat32, {1000, 37}), key(1, 0));
  double sum = 0, squares = 0, within_one = 0;
  for (int64_t i = 0; i < y.elements(); ++i) {
    ASSERT_LE(std::fabs(y.as_double(i)), 2);
    sum += y.as_double(i);
    squares += y.as_double(i) * y.as_double(i);
    within_one += std::fabs(y.as_double(i)) < 1;
  }
  EXPECT_NEAR(sum / 37000, 0, 0.02);
  EXPECT_NEAR(squares / 37000, 0.87962566103423978 * 0.87962566103423978, 0.02);
  EXPECT_NEAR(within_one / 37000, std::erf(1 / std::sqrt(2)) / std::erf(std::sqrt(2)), 0.01);
}

TEST_P(RandomTest, CategoriesComeAsOftenAsTheirProbabilitiesSay) {
  const Value logits = ops::placeholder(graph_, "logits", DType::kFloat32, {-1, 4});
  Tensor rows(DType::kFloat32, {40000, 4});
  const float minus_infinity = -HUGE_VALF;
  const float row[] = {std::log(1.0f), std::log(2.0f), minus_infinity, std::log(5.0f)};
  for (int64_t i = 0; i < rows.elements(); ++i)
    rows.flat<float>()[static_cast<size_t>(i)] = row[i % 4];
  const Tensor y = evaluate({ops::categorical(logits, key_, 3)},
                            {{logits, rows}, {key_, key(1, 0)}}, GetParam())[0];
  std::array<double, 4> counts{};
  for (int64_t drawn : y.flat<int64_t>()) counts[static_cast<size_t>(drawn)] += 1.0 / 40000;
  EXPECT_NEAR(counts[0], 1.0 / 8, 0.01);  // six standard deviations
  EXPECT_NEAR(counts[1], 2.0 / 8, 0.013);
  EXPECT_EQ(counts[2], 0);
  EXPECT_NEAR(counts[3], 5.0 / 8, 0.015);
}

TEST_P(RandomTest, IntegersFillTheirRangeEvenly) {
  const Tensor y = run(ops::random_integers(key_, x_, 9, -3, 5),
                       Tensor::zeros(DType::kFloat32, {1000, 37}), key(1, 0));
  std::array<double, 8> counts{};
  for (int64_t drawn : y.flat<int64_t>()) {
    ASSERT_GE(drawn, -3);
    ASSERT_LT(drawn, 5);
    counts[static_cast<size_t>(drawn + 3)] += 1.0 / 37000;
  }
  for (double count : counts) EXPECT_NEAR(count, 1.0 / 8, 0.01);
  EXPECT_THROW(ops::random_integers(key_, x_, 9, 5, 5), Error);
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
