#include "core/nn/initializers.h"

#include <array>
#include <cmath>

#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

struct Statistics {
  double mean = 0, stddev = 0, low = 0, high = 0;
};

Statistics statistics(const Initializer& initializer, const Shape& shape) {
  const Tensor x = initializer({{DType::kFloat32, shape}, fans_of(shape), 42});
  Statistics s{0, 0, 1e9, -1e9};
  for (float v : x.flat<float>()) {
    s.mean += v;
    s.low = std::min<double>(s.low, v);
    s.high = std::max<double>(s.high, v);
  }
  s.mean /= static_cast<double>(x.elements());
  for (float v : x.flat<float>()) s.stddev += (v - s.mean) * (v - s.mean);
  s.stddev = std::sqrt(s.stddev / static_cast<double>(x.elements()));
  return s;
}

TEST(InitializersTest, FansOfAConvolutionCountItsWindow) {
  const Fans fans = fans_of({5, 5, 6, 16});
  EXPECT_EQ(fans.in, 150);
  EXPECT_EQ(fans.out, 400);
}

TEST(InitializersTest, UniformOnesFillTheirRange) {
  const Shape shape{300, 200};
  for (const auto& [initializer, limit] :
       {std::pair{glorot_uniform(), std::sqrt(6.0 / 500)},
        {he_uniform(), std::sqrt(6.0 / 300)},
        {fan_in_uniform(), std::sqrt(1.0 / 300)},
        {lecun_uniform(), std::sqrt(3.0 / 300)},
        {variance_scaling(2, FanMode::kFanAverage, Distribution::kUniform), std::sqrt(6.0 / 250)},
        {uniform(), 0.05}}) {
    const Statistics s = statistics(initializer, shape);
    EXPECT_NEAR(s.mean, 0, limit / 50);
    EXPECT_NEAR(s.stddev, limit / std::sqrt(3), limit / 100);
    EXPECT_GE(s.low, -limit);
    EXPECT_LE(s.high, limit);
    EXPECT_LT(s.low, -0.99 * limit);
    EXPECT_GT(s.high, 0.99 * limit);
  }
}

TEST(InitializersTest, NormalOnesHaveTheirSpread) {
  const Shape shape{300, 200};
  for (const auto& [initializer, stddev] :
       {std::pair{normal(), 0.05},
        {variance_scaling(2, FanMode::kFanOut, Distribution::kUntruncatedNormal),
         std::sqrt(2.0 / 200)}}) {
    const Statistics s = statistics(initializer, shape);
    EXPECT_NEAR(s.mean, 0, stddev / 50);
    EXPECT_NEAR(s.stddev, stddev, stddev / 50);
    EXPECT_LT(s.low, -3 * stddev);
  }
  EXPECT_NEAR(statistics(normal(3, 0.5), shape).mean, 3, 0.02);
}

// As Keras's: nothing lies beyond two standard deviations of what was truncated, and the numbers
// have the variance that they are named for nevertheless.
TEST(InitializersTest, TruncatedOnesHaveTheirSpreadAndNoTails) {
  const Shape shape{300, 200};
  constexpr double kLeft = 0.87962566103423978;
  for (const auto& [initializer, stddev] : {std::pair{glorot_normal(), std::sqrt(2.0 / 500)},
                                            {he_normal(), std::sqrt(2.0 / 300)},
                                            {lecun_normal(), std::sqrt(1.0 / 300)},
                                            {variance_scaling(3), std::sqrt(3.0 / 300)},
                                            {truncated_normal(0, 0.05), 0.05 * kLeft}}) {
    const Statistics s = statistics(initializer, shape);
    EXPECT_NEAR(s.mean, 0, stddev / 50);
    EXPECT_NEAR(s.stddev, stddev, stddev / 50);
    EXPECT_GE(s.low, -2.0001 * stddev / kLeft);
    EXPECT_LE(s.high, 2.0001 * stddev / kLeft);
    EXPECT_LT(s.low, -1.99 * stddev / kLeft);
  }
}

TEST(InitializersTest, OrthogonalOnesHaveOrthogonalRowsOrColumns) {
  for (const Shape& shape : {Shape{5, 7}, Shape{7, 5}, Shape{64, 64}, Shape{3, 3, 4, 8}}) {
    SCOPED_TRACE(shape.to_string());
    const Tensor x = orthogonal(1.5)({{DType::kFloat32, shape}, fans_of(shape), 42});
    const int64_t columns = shape.dim(-1), rows = x.elements() / columns;
    const int64_t count = std::min(rows, columns);
    const auto at = [&](int64_t vector, int64_t i) {
      return double(x.flat<float>()[static_cast<size_t>(rows <= columns ? vector * columns + i
                                                                        : i * columns + vector)]);
    };
    for (int64_t a = 0; a < count; ++a) {
      for (int64_t b = 0; b <= a; ++b) {
        double product = 0;
        for (int64_t i = 0; i < std::max(rows, columns); ++i) product += at(a, i) * at(b, i);
        EXPECT_NEAR(product, a == b ? 1.5 * 1.5 : 0, 1e-5) << a << " and " << b;
      }
    }
  }
  EXPECT_THROW(orthogonal()({{DType::kFloat32, {5}}, {}, 1}), Error);
}

TEST(InitializersTest, TheIdentityIsOneOnTheDiagonal) {
  const Tensor x = identity(2)({{DType::kFloat32, {2, 3}}, {}, 1});
  EXPECT_THAT(x.flat<float>(), ::testing::ElementsAre(2, 0, 0, 0, 2, 0));
  EXPECT_THROW(identity()({{DType::kFloat32, {2, 2, 2}}, {}, 1}), Error);
}

TEST(InitializersTest, ConstantsAreThemselves) {
  EXPECT_EQ(statistics(zeros(), {7}).stddev, 0);
  EXPECT_EQ(statistics(ones(), {7}).mean, 1);
  EXPECT_EQ(statistics(constant(0.25), {7}).low, 0.25);
}

// A variable's values may not depend on what else the model has, nor on the order of its layers.
TEST(InitializersTest, AreAFunctionOfSeedAndName) {
  auto kernel = [](uint64_t seed, bool more_layers) {
    Model model({.seed = seed});
    if (more_layers) model.add<Dense>({.units = 2, .name = "before"});
    model.add<Dense>({.units = 4, .name = "same"});
    model.build({DType::kFloat32, {-1, 2}});
    const Tensor value = model.weights().at("same/kernel");
    return std::vector<float>(value.flat<float>().begin(), value.flat<float>().end());
  };
  EXPECT_EQ(kernel(1, false), kernel(1, true));
  EXPECT_NE(kernel(1, false), kernel(2, false));
}

// A parameter server makes only the rows that are seen: each must be what the whole would have had.
TEST(InitializersTest, PartsOfAFillAreThoseOfTheVariable) {
  const Shape shape{311, 7};
  for (const auto& initializer :
       {uniform(-1, 2), normal(1, 2), truncated_normal(1, 2), he_normal(), constant(0.1)}) {
    const Tensor whole = initializer({{DType::kFloat32, shape}, fans_of(shape), 42});
    const auto fill = initializer.fill(fans_of(shape), 42);
    ASSERT_TRUE(fill.has_value());
    for (int64_t row = 0; row < shape[0]; ++row) {
      std::array<float, 7> part;
      fill_random(*fill, static_cast<uint64_t>(7 * row), part);
      for (int64_t i = 0; i < 7; ++i) {
        ASSERT_EQ(part[static_cast<size_t>(i)],
                  whole.flat<float>()[static_cast<size_t>(7 * row + i)])
            << "row " << row;
      }
    }
  }
}

TEST(InitializersTest, AFunctionHasNoFill) {
  const Initializer initializer = [](const InitializerInput& input) {
    return Tensor::zeros(input.type.dtype, input.type.shape);
  };
  EXPECT_FALSE(initializer.fill({}).has_value());
}

// A model is written as a job file: a layer must know how its initializer was chosen.
TEST(InitializersTest, KnowWhatTheyWereMadeOf) {
  Catalog<InitializerOptions> catalog;
  register_core_initializers(catalog);
  const std::map<std::string, Initializer> known = {{"zeros", zeros()},
                                                    {"ones", ones()},
                                                    {"constant", constant(2)},
                                                    {"uniform", uniform()},
                                                    {"normal", normal()},
                                                    {"glorot_uniform", glorot_uniform()},
                                                    {"glorot_normal", glorot_normal()},
                                                    {"he_uniform", he_uniform()},
                                                    {"he_normal", he_normal()},
                                                    {"truncated_normal", truncated_normal()},
                                                    {"lecun_uniform", lecun_uniform()},
                                                    {"lecun_normal", lecun_normal()},
                                                    {"variance_scaling", variance_scaling()},
                                                    {"orthogonal", orthogonal()},
                                                    {"identity", identity()},
                                                    {"fan_in_uniform", fan_in_uniform()}};
  EXPECT_EQ(catalog.entries().size(), known.size());
  for (const auto& [name, initializer] : known) {
    ASSERT_NE(initializer.options(), nullptr) << name;
    const CatalogEntry* const entry = catalog.entry_of(*initializer.options());
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_EQ(entry->name, name);
  }
  EXPECT_EQ(Initializer([](const InitializerInput&) { return Tensor(); }).options(), nullptr);
}

// By name they are what the functions of that name give.
TEST(InitializersTest, AreTheSameByName) {
  Catalog<InitializerOptions> catalog;
  register_core_initializers(catalog);
  const Shape shape{4, 3};
  for (const auto& [name, initializer] : {std::pair{"glorot_uniform", glorot_uniform()},
                                          {"uniform", uniform()},
                                          {"he_normal", he_normal()},
                                          {"constant", constant(0)}}) {
    const Initializer by_name(std::shared_ptr<const InitializerOptions>(catalog.make(name)));
    const InitializerInput input{{DType::kFloat32, shape}, fans_of(shape), 42};
    EXPECT_EQ(by_name(input).to_string(), initializer(input).to_string()) << name;
  }
}

TEST(InitializersTest, OptionsAreChecked) {
  EXPECT_EQ(error_of([] { normal(0, -1); }), "initializer: stddev: expected at least 0, found -1");
  EXPECT_EQ(error_of([] { uniform(2, 1); }), "low: expected at most high, 1, found 2");
}

}  // namespace
}  // namespace trireme::nn
