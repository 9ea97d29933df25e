// What elementwise ops compute at the edges of their types, and how far the CPU's faster forms
// (core/device/cpu/block_forms.h) may be from their formulas.
#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/ops/ops.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

using Op1 = Value (*)(Value);
using Op2 = Value (*)(Value, Value);

template <typename T>
std::vector<T> compute(Op1 op, const std::vector<T>& x, std::string_view kind) {
  Graph graph(core_op_table());
  const Shape shape{static_cast<int64_t>(x.size())};
  const Value fed = ops::placeholder(graph, "x", dtype_of<T>, shape);
  const Tensor y = evaluate({op(fed)}, {{fed, Tensor::from<T>(shape, x)}}, kind)[0];
  return {y.flat<T>().begin(), y.flat<T>().end()};
}

template <typename T>
std::vector<T> compute(Op2 op, const std::vector<T>& a, const std::vector<T>& b,
                       std::string_view kind) {
  Graph graph(core_op_table());
  const Shape shape{static_cast<int64_t>(a.size())};
  const Value left = ops::placeholder(graph, "a", dtype_of<T>, shape);
  const Value right = ops::placeholder(graph, "b", dtype_of<T>, shape);
  const Tensor y =
      evaluate({op(left, right)},
               {{left, Tensor::from<T>(shape, a)}, {right, Tensor::from<T>(shape, b)}}, kind)[0];
  return {y.flat<T>().begin(), y.flat<T>().end()};
}

// Where an op that gives a bool says true, as numbers.
std::vector<int32_t> which(Op1 op, const std::vector<float>& x, std::string_view kind) {
  Graph graph(core_op_table());
  const Shape shape{static_cast<int64_t>(x.size())};
  const Value fed = ops::placeholder(graph, "x", DType::kFloat32, shape);
  const Tensor y = evaluate({ops::cast(op(fed), DType::kInt32)},
                            {{fed, Tensor::from<float>(shape, x)}}, kind)[0];
  return {y.flat<int32_t>().begin(), y.flat<int32_t>().end()};
}

// Integers do what every processor does: they wrap around, and nothing traps.
TEST(ElementwiseFormulasTest, IntegersAtTheirEdges) {
  constexpr int32_t kMin = std::numeric_limits<int32_t>::min(), kMax = -(kMin + 1);
  for (const char* kind : {"reference", "cpu"}) {
    SCOPED_TRACE(kind);
    const std::vector<int32_t> a = {kMax, kMin, -7, 7, 5, kMin}, b = {1, -1, 2, -2, 0, kMin};
    EXPECT_THAT(compute<int32_t>(ops::add, a, b, kind), ElementsAre(kMin, kMax, -5, 5, 5, 0));
    EXPECT_THAT(compute<int32_t>(ops::subtract, a, b, kind),
                ElementsAre(kMax - 1, kMin + 1, -9, 9, 5, 0));
    EXPECT_THAT(compute<int32_t>(ops::multiply, a, b, kind),
                ElementsAre(kMax, kMin, -14, -14, 0, 0));
    EXPECT_THAT(compute<int32_t>(ops::divide, a, b, kind), ElementsAre(kMax, kMin, -3, -3, 0, 1));
    EXPECT_THAT(compute<int32_t>(ops::abs, a, kind), ElementsAre(kMax, kMin, 7, 7, 5, kMin));
    EXPECT_THAT(compute<int32_t>(ops::negate, a, kind), ElementsAre(-kMax, kMin, 7, -7, -5, kMin));
    EXPECT_THAT(compute<int32_t>(ops::sign, a, kind), ElementsAre(1, -1, -1, 1, 1, -1));
    EXPECT_THAT(compute<int32_t>(ops::relu, a, kind), ElementsAre(kMax, 0, 0, 7, 5, 0));
    EXPECT_THAT(
        compute<int32_t>(ops::power, {3, -1, -1, 2, 0, 1, 2}, {4, -3, -2, -1, 0, -9, 40}, kind),
        ElementsAre(81, -1, 1, 0, 1, 1, 0));
    // Rounded down: the remainder has the divisor's sign.
    EXPECT_THAT(compute<int32_t>(ops::floor_divide, a, b, kind),
                ElementsAre(kMax, kMin, -4, -4, 0, 1));
    EXPECT_THAT(compute<int32_t>(ops::floor_mod, a, b, kind), ElementsAre(0, 0, 1, -1, 0, 0));
    const std::vector<uint8_t> u = {255, 0, 200, 255}, v = {1, 1, 100, 255};
    EXPECT_THAT(compute<uint8_t>(ops::add, u, v, kind), ElementsAre(0, 1, 44, 254));
    EXPECT_THAT(compute<uint8_t>(ops::subtract, u, v, kind), ElementsAre(254, 255, 100, 0));
    EXPECT_THAT(compute<uint8_t>(ops::divide, u, v, kind), ElementsAre(255, 0, 2, 1));
    EXPECT_THAT(compute<uint8_t>(ops::maximum, u, v, kind), ElementsAre(255, 1, 200, 255));
    EXPECT_THAT(compute<uint8_t>(ops::abs, u, kind), ElementsAre(255, 0, 200, 255));
    EXPECT_THAT(compute<uint8_t>(ops::negate, u, kind), ElementsAre(1, 0, 56, 1));
    EXPECT_THAT(compute<uint8_t>(ops::sign, u, kind), ElementsAre(1, 0, 1, 1));
  }
}

TEST(ElementwiseFormulasTest, NaNAndSignedZeros) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  for (const char* kind : {"reference", "cpu"}) {
    SCOPED_TRACE(kind);
    for (const auto& [a, b] : {std::pair{nan, 1.0f}, std::pair{1.0f, nan}}) {
      EXPECT_TRUE(std::isnan(compute<float>(ops::maximum, {a}, {b}, kind)[0]));
      EXPECT_TRUE(std::isnan(compute<float>(ops::minimum, {a}, {b}, kind)[0]));
      EXPECT_TRUE(std::isnan(compute<float>(ops::power, {a + 1}, {b + 1}, kind)[0]));
    }
    EXPECT_TRUE(std::isnan(compute<float>(ops::relu, {nan}, kind)[0]));
    EXPECT_THAT(compute<float>(ops::sign, {nan, -0.0f, -inf}, kind), ElementsAre(0, 0, -1));
    EXPECT_TRUE(std::signbit(compute<float>(ops::negate, {0.0f}, kind)[0]));
    EXPECT_FALSE(std::signbit(compute<float>(ops::abs, {-0.0f}, kind)[0]));
    EXPECT_THAT(compute<float>(ops::floor_mod, {7, -7, 7, -7, -7}, {3, 3, -3, -3, inf}, kind),
                ElementsAre(1, 2, -2, -1, inf));
    EXPECT_THAT(
        compute<float>(ops::floor_divide, {7, -7, 7, -7, 1, -7}, {3, 3, -3, -3, 0, inf}, kind),
        ElementsAre(2, -3, -3, 2, inf, -1));
    EXPECT_TRUE(std::isnan(compute<float>(ops::floor_mod, {1}, {0}, kind)[0]));
    EXPECT_THAT(compute<float>(ops::round, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, inf}, kind),
                ElementsAre(0, 2, 2, 0, -2, inf));
    const std::vector<float> all = {nan, inf, -inf, 0, std::numeric_limits<float>::max()};
    EXPECT_THAT(which(ops::is_nan, all, kind), ElementsAre(1, 0, 0, 0, 0));
    EXPECT_THAT(which(ops::is_inf, all, kind), ElementsAre(0, 1, 1, 0, 0));
    EXPECT_THAT(which(ops::is_finite, all, kind), ElementsAre(0, 0, 0, 1, 1));
    EXPECT_THAT(compute<float>(ops::elu, {inf, -inf, nan}, {2, 2, 2}, kind),
                ElementsAre(inf, -2, ::testing::IsNan()));
    // Where the cube of x is infinite the slope is still 0 or 1.
    EXPECT_THAT(
        compute<float>(ops::gelu_tanh_grad, {3, 3, 3, 3}, {1e30f, -1e30f, 1e13f, -1e13f}, kind),
        ElementsAre(3, 0, 3, 0));
    EXPECT_THAT(compute<float>(ops::gelu_grad, {3, 3}, {1e30f, -1e30f}, kind), ElementsAre(3, 0));
    EXPECT_THAT(compute<float>(ops::silu_grad, {3, 3}, {1e30f, -1e30f}, kind), ElementsAre(3, 0));
    EXPECT_THAT(compute<float>(ops::relu_grad, {5, 5, 5}, {nan, 0, 2}, kind), ElementsAre(0, 0, 5));
  }
}

// Floats of every exponent, both signs, and what is no usual number.
std::vector<float> floats_of_all_sizes() {
  std::vector<float> numbers = {0.0f, -0.0f, std::nanf(""), std::numeric_limits<float>::infinity(),
                                -std::numeric_limits<float>::infinity()};
  uint32_t random = 12345;
  for (uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (int i = 0; i < 200; ++i) {
      random = random * 1664525 + 1013904223;
      const uint32_t mantissa = i == 0 ? 0 : i == 1 ? 0x7fffff : random >> 9;
      numbers.push_back(std::bit_cast<float>(exponent << 23 | mantissa | (random & 0x80000000)));
    }
  }
  // Where functions of e^x do something.
  for (int i = -40000; i <= 40000; ++i) numbers.push_back(static_cast<float>(i) * 0.00275f);
  return numbers;
}

// How many floats lie between a and b.
int64_t ulps(float a, float b) {
  const auto place = [](float x) {
    const auto bits = std::bit_cast<int32_t>(x);
    return bits < 0 ? int64_t{std::numeric_limits<int32_t>::min()} - bits : int64_t{bits};
  };
  return std::abs(place(a) - place(b));
}

struct Limit {
  const char* name;
  Op1 op;
  int64_t ulps;
  bool takes_denormals = true;  // else they count as 2^-126
  // Below this what it gives may come out as anything down to 0.
  float smallest = std::numeric_limits<float>::min();
};
void PrintTo(const Limit& limit, std::ostream* out) { *out << limit.name; }

class FormsTest : public ::testing::TestWithParam<Limit> {};

// Of f32 on the CPU, against the formula in f64 that is rounded once. Infinities, NaN and zeros
// come out as they do of the formula; what is below `smallest` may come out as anything down to 0.
TEST_P(FormsTest, AreWithinTheirLimitOfTheFormula) {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  std::vector<float> x = floats_of_all_sizes();
  const std::vector<float> found = compute<float>(GetParam().op, x, "cpu");
  for (float& number : x) {
    if (!GetParam().takes_denormals && number != 0 && std::fabs(number) < kSmallest)
      number = std::copysign(kSmallest, number);
  }
  const std::vector<float> exact = compute<float>(GetParam().op, x, "reference");
  int64_t worst = 0;
  float at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(std::isnan(found[i]), std::isnan(exact[i])) << x[i];
    if (std::isnan(exact[i])) continue;
    if (x[i] == 0) {
      ASSERT_EQ(std::signbit(found[i]), std::signbit(exact[i])) << x[i];
    } else if (std::fabs(exact[i]) < GetParam().smallest) {
      ASSERT_LE(std::fabs(found[i]), GetParam().smallest * 1.0001f) << x[i];
      continue;
    }
    if (const int64_t distance = ulps(found[i], exact[i]); distance > worst) {
      worst = distance;
      at = x[i];
    }
  }
  EXPECT_LE(worst, GetParam().ulps) << "at " << at;
}

// Those of core/device/cpu/block_forms.h, and those that are the formula itself.
//
// The two gelus are e^−u times something below zero: a rounding of u = x²/2, and of the cube of x,
// counts u-fold there. Where that is more than 16 they are below 1e-6. Where 1 + e^−x is infinite x
// over it is 0, though x times what is nearly 2^-128 is a number.
const Limit kLimits[] = {
    {"Gelu", ops::gelu, 100},
    {"GeluTanh", ops::gelu_tanh, 300, true, 0x1p-119f},
    {"Exp", ops::exp, 1},
    {"Log", ops::log, 1, false},
    {"Tanh", ops::tanh, 4},
    {"Sigmoid", ops::sigmoid, 3},
    {"Softplus", ops::softplus, 2},
    {"Expm1", ops::expm1, 4},
    {"Silu", ops::silu, 4, true, 0x1p-119f},
    {"Erf", ops::erf, 1},
    {"Sqrt", ops::sqrt, 0},
    {"Rsqrt", ops::rsqrt, 1},
    {"Reciprocal", ops::reciprocal, 0},
};
INSTANTIATE_TEST_SUITE_P(All, FormsTest, ::testing::ValuesIn(kLimits),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme::testing
