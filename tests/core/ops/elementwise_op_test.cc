// Elementwise ops of a program outside the tree: one row each, in its own file.
#include "core/device/elementwise_op.h"

#include <gmock/gmock.h>

#include "core/device/cpu/register.h"
#include "core/device/kernel.h"
#include "core/device/reference/register.h"
#include "tests/support/gradient_check.h"

namespace acme {

// It takes a formula for a declaration.
// clang-format off

// x · tanh(log(1 + e^x))
TRIREME_UNARY_OP(Mish, mish, kReal, kFollow, a * tanh(log1p(exp(a))), T(),
                 const Value t = tanh(softplus(x));
                 set(grad * (t + x * sigmoid(x) * (constant_like(t, 1) - square(t)))))
TRIREME_BINARY_OP(SquaredDifference, squared_difference, kAny, kWide, kCommutative,
                  (a - b) * (a - b), T((U(a) - U(b)) * (U(a) - U(b))),
                  const Value d = grad * (a - b) * constant_like(grad, 2);
                  set(d, negate(d)))
TRIREME_BINARY_OP(Near, near, kCompared, kWide, kCommutative, fabs(a - b) < T(0.5), a == b)
// clang-format on

}  // namespace acme

namespace trireme::testing {
namespace {

class ElementwiseOpTest : public ::testing::Test {
 protected:
  ElementwiseOpTest() {
    auto ops = std::make_shared<OpTable>();
    register_core_ops(*ops);
    register_reference_kernels(kernels_);
    register_cpu_kernels(kernels_);
    for (const ElementwiseOp& op :
         {acme::mish_op(), acme::squared_difference_op(), acme::near_op()}) {
      ops->add(op.definition);
      add_elementwise_kernels(kernels_, op);
    }
    graph_ = std::make_unique<Graph>(ops);
  }

  Value feed(DType dtype, const Shape& shape, uint64_t seed, double low = -3, double high = 3) {
    const Value x = ops::placeholder(*graph_, "x", dtype, shape);
    feeds_.emplace_back(x, random_tensor(dtype, shape, low, high, seed));
    return x;
  }
  Tensor run(Value y, std::string_view kind) { return evaluate({y}, feeds_, kind, kernels_)[0]; }

  KernelTable kernels_;
  std::unique_ptr<Graph> graph_;
  Feeds feeds_;
};

TEST_F(ElementwiseOpTest, ComputesItsFormulaOnEveryKindOfTheHost) {
  for (DType dtype : {DType::kFloat64, DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    const double tolerance = dtype == DType::kFloat64   ? 1e-14
                             : dtype == DType::kFloat32 ? 1e-6
                             : dtype == DType::kFloat16 ? 1e-3
                                                        : 8e-3;
    feeds_.clear();
    const Value x = feed(dtype, {40009}, 1);
    const Tensor y = run(acme::mish(x), "cpu");
    EXPECT_EQ(difference(y, run(acme::mish(x), "reference"), tolerance), "") << name(dtype);
    for (int64_t i = 0; i < 100; ++i) {
      const double a = feeds_[0].second.as_double(i);
      EXPECT_NEAR(y.as_double(i), a * std::tanh(std::log(1 + std::exp(a))), 4 * tolerance);
    }
  }
}

TEST_F(ElementwiseOpTest, BroadcastsItsInputs) {
  const Shape shapes[][2] = {{{6, 3}, {3}},
                             {{7, 1}, {1, 5}},
                             {{}, {17}},
                             {{301, 133}, {301, 1}},
                             {{2, 1, 3, 1}, {1, 4, 1, 2}},
                             {{0, 3}, {3}}};
  for (const auto& [left, right] : shapes) {
    feeds_.clear();
    const Value a = feed(DType::kFloat32, left, 1), b = feed(DType::kFloat32, right, 2);
    const Value y = acme::squared_difference(a, b), expected = ops::square(a - b);
    EXPECT_EQ(difference(run(y, "cpu"), run(expected, "cpu"), 1e-6), "") << y.shape();
    EXPECT_EQ(difference(run(y, "reference"), run(expected, "reference"), 1e-6), "") << y.shape();
  }
}

TEST_F(ElementwiseOpTest, TakesTheNumbersThatItsRowNames) {
  const Value a = feed(DType::kUInt8, {5, 9}, 1, 0, 9), b = feed(DType::kUInt8, {9}, 2, 0, 9);
  const Value y = acme::squared_difference(a, b);
  EXPECT_EQ(difference(run(y, "cpu"), run(ops::square(a - b), "reference"), 0), "");
  const Value near = acme::near(a, b);
  EXPECT_EQ(near.dtype(), DType::kBool);
  EXPECT_EQ(difference(run(near, "cpu"), run(ops::equal(a, b), "reference"), 0), "");
  EXPECT_THROW(acme::mish(a), Error);
}

TEST_F(ElementwiseOpTest, IsDifferentiatedByItsRow) {
  const Value a = feed(DType::kFloat64, {3, 5}, 1), b = feed(DType::kFloat64, {5}, 2);
  const GradientCheckOptions options{.kernels = &kernels_};
  EXPECT_EQ(check_gradients({acme::mish(acme::squared_difference(a, b))}, {a, b}, feeds_, options),
            "");
}

// A chain on the host runs the kernels of its steps; where code is generated, it is of the formula.
TEST_F(ElementwiseOpTest, IsAStepOfAChain) {
  const Value a = feed(DType::kFloat32, {6, 3}, 1), b = feed(DType::kFloat32, {3}, 2);
  const Value chain =
      graph_
          ->add("FusedElementwise", {a, b},
                {{"chain", std::string("SquaredDifference(0,1) Mish(2) Relu(3) -> 4")}})
          .output();
  const Value plain = ops::relu(acme::mish(acme::squared_difference(a, b)));
  EXPECT_EQ(difference(run(chain, "cpu"), run(plain, "cpu"), 0), "");
  EXPECT_EQ(graph_->ops()->find("Mish").formula.text(DType::kFloat32), "a * tanh(log1p(exp(a)))");
  EXPECT_EQ(graph_->ops()->find("Mish").formula.text(DType::kInt32), "");
  EXPECT_EQ(graph_->ops()->find("Mish").traits.precision, PrecisionClass::kFollow);
}

}  // namespace
}  // namespace trireme::testing
