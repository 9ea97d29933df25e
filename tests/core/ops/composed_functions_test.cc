// Functions that are composed of ops: they have no row in the table of cases, so each is compared
// here with its definition, and its gradients with central differences.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "core/base/error.h"
#include "core/ops/elementwise_functions.h"
#include "core/ops/ops.h"
#include "core/ops/statistics.h"
#include "tests/support/gradient_check.h"

namespace trireme::testing {
namespace {

struct Function {
  const char* name;
  Value (*build)(Value);
  double (*truth)(double);
};
void PrintTo(const Function& function, std::ostream* out) { *out << function.name; }

double softplus(double x) { return std::log1p(std::exp(x)); }
double clamp(double x, double low, double high) { return std::fmin(std::fmax(x, low), high); }

// In other words than the functions are composed in; of Keras 3's documentation.
const Function kFunctions[] = {
    {"Clip", [](Value x) { return ops::clip(x, -1, 0.5); },
     [](double x) { return x < -1    ? -1
                           : x > 0.5 ? 0.5
                                     : x; }},
    {"Exp2", ops::exp2, [](double x) { return std::exp2(x); }},
    {"Elu", [](Value x) { return ops::elu(x, 0.7); },
     [](double x) { return x > 0 ? x : 0.7 * std::expm1(x); }},
    {"Celu", [](Value x) { return ops::celu(x, 0.7); },
     [](double x) { return x > 0 ? x : 0.7 * std::expm1(x / 0.7); }},
    {"CeluOf1", [](Value x) { return ops::celu(x); },
     [](double x) { return x > 0 ? x : std::expm1(x); }},
    {"Selu", ops::selu,
     [](double x) {
       return 1.05070098735548049342 * (x > 0 ? x : 1.67326324235437728482 * std::expm1(x));
     }},
    {"LeakyRelu", [](Value x) { return ops::leaky_relu(x); },
     [](double x) { return x > 0 ? x : 0.2 * x; }},
    {"Relu6", ops::relu6, [](double x) { return clamp(x, 0, 6); }},
    {"HardSigmoid", ops::hard_sigmoid, [](double x) { return clamp(x / 6 + 0.5, 0, 1); }},
    {"HardSilu", ops::hard_silu, [](double x) { return x * clamp(x / 6 + 0.5, 0, 1); }},
    {"HardTanh", ops::hard_tanh, [](double x) { return clamp(x, -1, 1); }},
    {"HardShrink", [](Value x) { return ops::hard_shrink(x); },
     [](double x) { return std::fabs(x) > 0.5 ? x : 0; }},
    {"SoftShrink", [](Value x) { return ops::soft_shrink(x); },
     [](double x) { return x > 0.5    ? x - 0.5
                           : x < -0.5 ? x + 0.5
                                      : 0; }},
    {"TanhShrink", ops::tanh_shrink, [](double x) { return x - std::tanh(x); }},
    {"Threshold", [](Value x) { return ops::threshold(x, 1, 3); },
     [](double x) { return x > 1 ? x : 3; }},
    {"LogSigmoid", ops::log_sigmoid, [](double x) { return -softplus(-x); }},
    {"Softsign", ops::softsign, [](double x) { return x / (1 + std::fabs(x)); }},
    {"Mish", ops::mish, [](double x) { return x * std::tanh(softplus(x)); }},
    {"Squareplus", [](Value x) { return ops::squareplus(x); },
     [](double x) { return (x + std::sqrt(x * x + 4)) / 2; }},
    {"SparsePlus", ops::sparse_plus,
     [](double x) { return x <= -1  ? 0
                           : x >= 1 ? x
                                    : (x + 1) * (x + 1) / 4; }},
    {"SparseSigmoid", ops::sparse_sigmoid,
     [](double x) { return x <= -1  ? 0
                           : x >= 1 ? 1
                                    : (x + 1) / 2; }},
};

class ComposedFunctionTest : public ::testing::TestWithParam<Function> {};

// Over both sides of every kink and away from it: from −7.9 to 7.9 in steps of 0.4.
TEST_P(ComposedFunctionTest, GivesItsDefinitionAndItsDerivatives) {
  Graph graph(core_op_table());
  const Shape shape{40};
  const Value x = ops::placeholder(graph, "x", DType::kFloat64, shape);
  std::vector<double> numbers(40);
  for (size_t i = 0; i < 40; ++i) numbers[i] = -7.9 + 0.4 * static_cast<double>(i) + 0.013;
  const Value y = GetParam().build(x);
  const Feeds feeds = {{x, Tensor::from<double>(shape, numbers)}};
  std::vector<double> expected;
  for (double number : numbers) expected.push_back(GetParam().truth(number));
  EXPECT_EQ(difference(evaluate({y}, feeds)[0], Tensor::from<double>(shape, expected), 1e-12), "");
  EXPECT_EQ(check_gradients({y}, {x}, feeds), "");
}

INSTANTIATE_TEST_SUITE_P(All, ComposedFunctionTest, ::testing::ValuesIn(kFunctions),
                         [](const auto& info) { return info.param.name; });

struct Built {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>(core_op_table());
  std::vector<Value> inputs;
  Feeds feeds;

  Value input(const Shape& shape, double low = -2, double high = 2) {
    const auto number = inputs.size();
    inputs.push_back(ops::placeholder(*graph, str_cat("x", number), DType::kFloat64, shape));
    feeds.emplace_back(inputs.back(), random_tensor(DType::kFloat64, shape, low, high, number));
    return inputs.back();
  }
  std::span<const double> fed(size_t i) const { return feeds[i].second.flat<double>(); }
  // Compares `y` with `expected` and its gradients with differences.
  void expect(Value y, const std::vector<double>& expected) const {
    EXPECT_EQ(difference(evaluate({y}, feeds)[0], Tensor::from<double>(y.shape(), expected), 1e-12),
              "");
    EXPECT_EQ(check_gradients({y}, inputs, feeds), "");
  }
};

TEST(ComposedFunctionsTest, OfTwoValues) {
  Built built;
  const Value a = built.input({3, 4}), b = built.input({4});
  std::vector<double> difference, sums;
  for (size_t i = 0; i < 12; ++i) {
    const double x = built.fed(0)[i], y = built.fed(1)[i % 4];
    difference.push_back((x - y) * (x - y));
    sums.push_back(std::log(std::exp(x) + std::exp(y)));
  }
  built.expect(ops::squared_difference(a, b), difference);
  built.expect(ops::log_add_exp(a, b), sums);
}

TEST(ComposedFunctionsTest, GluGatesTheFirstHalfOfTheLastAxis) {
  Built built;
  const Value x = built.input({3, 4});
  std::vector<double> expected;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t i = 0; i < 2; ++i) {
      expected.push_back(built.fed(0)[row * 4 + i] /
                         (1 + std::exp(-built.fed(0)[row * 4 + i + 2])));
    }
  }
  built.expect(ops::glu(x), expected);
  EXPECT_THROW(ops::glu(built.input({3, 5})), Error);
}

TEST(ComposedFunctionsTest, VarianceAndItsRootOverAnAxis) {
  Built built;
  const Value x = built.input({3, 4});
  std::vector<double> expected, roots;
  for (size_t row = 0; row < 3; ++row) {
    const auto numbers = built.fed(0).subspan(row * 4, 4);
    const double mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / 4;
    double squares = 0;
    for (double number : numbers) squares += number * number / 4;
    expected.push_back(squares - mean * mean);
    roots.push_back(std::sqrt(expected.back()));
  }
  built.expect(ops::variance(x, {-1}), expected);
  built.expect(ops::stddev(x, {-1}, true), roots);
}

TEST(ComposedFunctionsTest, LogSumExpDoesNotOverflow) {
  Built built;
  const Value x = built.input({3, 4});
  std::vector<double> expected(4);
  for (size_t column = 0; column < 4; ++column) {
    double sum = 0;
    for (size_t row = 0; row < 3; ++row) sum += std::exp(built.fed(0)[row * 4 + column]);
    expected[column] = std::log(sum);
  }
  built.expect(ops::logsumexp(x, {0}), expected);
  Graph graph(core_op_table());
  const Value far = ops::placeholder(graph, "far", DType::kFloat32, {3, 2});
  const float inf = HUGE_VALF;
  const Tensor found =
      evaluate({ops::logsumexp(far, {1})},
               {{far, Tensor::from<float>({3, 2}, {1000, 1000, -inf, -inf, inf, 0})}}, "cpu")[0];
  EXPECT_FLOAT_EQ(found.flat<float>()[0], 1000 + std::log(2.0f));
  EXPECT_EQ(found.flat<float>()[1], -inf);
  EXPECT_EQ(found.flat<float>()[2], inf);
}

TEST(ComposedFunctionsTest, AnyAndAllOfNothingAreFalseAndTrue) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kBool, {3, 2});
  const Value none = ops::placeholder(graph, "none", DType::kBool, {2, 0});
  const Feeds feeds = {{x, Tensor::from<bool>({3, 2}, {false, false, false, true, true, true})},
                       {none, Tensor(DType::kBool, {2, 0})}};
  for (const char* kind : {"reference", "cpu"}) {
    const std::vector<Tensor> found = evaluate(
        {ops::any(x, {1}), ops::all(x, {1}), ops::any(none, {1}), ops::all(none, {1}, true)}, feeds,
        kind);
    const auto bools = [&](size_t i) {
      return std::vector<bool>(found[i].flat<bool>().begin(), found[i].flat<bool>().end());
    };
    EXPECT_EQ(bools(0), (std::vector<bool>{false, true, true}));
    EXPECT_EQ(bools(1), (std::vector<bool>{false, false, true}));
    EXPECT_EQ(bools(2), (std::vector<bool>{false, false}));
    EXPECT_EQ(bools(3), (std::vector<bool>{true, true}));
    EXPECT_EQ(found[3].shape(), (Shape{2, 1}));
  }
}

// The product's gradient by the formula y/x fails at a 0: with one 0 only that element has a
// gradient, with two none has.
TEST(ComposedFunctionsTest, TheGradientOfAProductWithZeros) {
  for (const std::vector<double>& numbers :
       {std::vector<double>{2, 3, 0, 5}, std::vector<double>{0, 3, 0, 5}}) {
    Graph graph(core_op_table());
    const Value x = ops::placeholder(graph, "x", DType::kFloat64, {4});
    EXPECT_EQ(check_gradients({ops::prod(x)}, {x}, {{x, Tensor::from<double>({4}, numbers)}},
                              {.second = false}),
              "");
  }
}

}  // namespace
}  // namespace trireme::testing
