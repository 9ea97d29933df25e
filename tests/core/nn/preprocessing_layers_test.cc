// Layers that prepare what the data give, and those that take their values from it.
#include "core/nn/preprocessing_layers.h"

#include <set>

#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Features of two channels and labels.
data::Dataset two_channels(int64_t examples) {
  std::vector<float> values;
  for (int64_t i = 0; i < examples; ++i) {
    values.push_back(1000 + static_cast<float>(i % 4));
    values.push_back(static_cast<float>(i % 2) * 10);
  }
  return data::from_tensors(
      {Tensor::from<float>({examples, 2}, values), Tensor::zeros(DType::kFloat32, {examples, 1})},
      {"x", "y"});
}

std::vector<float> numbers(const Tensor& x) {
  return {x.flat<float>().begin(), x.flat<float>().end()};
}

TEST(NormalizationTest, TakesMeanAndVarianceFromTheData) {
  Model model;
  model.add<Normalization>();
  adapt(model.network(), two_channels(8).batch(3));
  model.build({DType::kFloat32, {-1, 2}});
  const StateMap weights = model.weights();
  EXPECT_THAT(numbers(weights.at("normalization/mean")), ElementsAre(1001.5, 5));
  EXPECT_THAT(numbers(weights.at("normalization/variance")), ElementsAre(1.25, 25));
  const Tensor y = model.predict(Tensor::from<float>({1, 2}, {1002.5, 0}));
  EXPECT_NEAR(y.as_double(0), 1 / std::sqrt(1.25), 1e-5);
  EXPECT_NEAR(y.as_double(1), -1, 1e-6);
}

// Its values are the layer's variables: a model that is loaded needs no data.
TEST(NormalizationTest, TravelsWithTheWeights) {
  Model model, loaded;
  for (Model* const m : {&model, &loaded}) m->add<Normalization>();
  adapt(model.network(), two_channels(8).batch(8));
  for (Model* const m : {&model, &loaded}) m->build({DType::kFloat32, {-1, 2}});
  loaded.set_weights(model.weights());
  const Tensor x = Tensor::from<float>({1, 2}, {1000, 7});
  EXPECT_EQ(numbers(loaded.predict(x)), numbers(model.predict(x)));
}

TEST(NormalizationTest, IsNotTrainedWithoutHavingSeenData) {
  Model model;
  model.add<Normalization>().add<Dense>({.units = 1});
  model.compile({.optimizer = std::make_shared<Sgd>(), .loss = mean_squared_error()});
  EXPECT_THAT(error_of([&] { model.fit(two_channels(8).batch(4), quiet(1)); }),
              AllOf(HasSubstr("layer 1 (normalization \"normalization\")"),
                    HasSubstr("call adapt() before the model is built")));
}

TEST(NormalizationTest, MustBeCalledOnTheData) {
  Model model;
  model.add<Dense>({.units = 2}).add<Normalization>({.name = "late"});
  EXPECT_THAT(error_of([&] { adapt(model.network(), two_channels(8).batch(4)); }),
              AllOf(HasSubstr("layer 2 (normalization \"late\")"),
                    HasSubstr("expected it to be called once, on a feature of the data")));
  Model first;
  first.add<Normalization>();
  EXPECT_THAT(error_of([&] { adapt(first.network(), two_channels(8).repeat().batch(4)); }),
              HasSubstr("one that ends"));
  EXPECT_THAT(error_of([&] { adapt(first.network(), two_channels(8).take(0).batch(4)); }),
              HasSubstr("expected training examples"));
}

// Every step learns from the same scaled numbers, and the scale stays what it was.
TEST(NormalizationTest, StaysAsItIsWhileOthersAreTrained) {
  Model model;
  model.add<Normalization>().add<Dense>({.units = 1});
  adapt(model.network(), two_channels(8).batch(8));
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(0.1)), .loss = mean_squared_error()});
  model.fit(two_channels(8).batch(4), quiet(3));
  EXPECT_THAT(numbers(model.weights().at("normalization/mean")), ElementsAre(1001.5, 5));
}

TEST(DiscretizationTest, MakesBucketsOfAboutAsManyNumbers) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto x = static_cast<float>((i * 377) % 1000);  // each once, in no order
    values[i] = x * x;
  }
  const Tensor x = Tensor::from<float>({1000, 1}, values);
  Model model;
  model.add<Discretization>({.num_bins = 4});
  adapt(model.network(), data::from_tensors({x, x}, {"x", "y"}).batch(100));
  model.build({DType::kFloat32, {-1, 1}});
  EXPECT_THAT(numbers(model.weights().at("discretization/bin_boundaries")),
              ElementsAre(250 * 250, 500 * 500, 750 * 750));
  const Tensor y = model.predict(x);
  std::vector<int> counts(4);
  for (const int64_t bucket : y.flat<int64_t>()) ++counts.at(static_cast<size_t>(bucket));
  EXPECT_THAT(counts, ElementsAre(250, 250, 250, 250));
}

TEST(CategoryEncodingTest, ATokenOutOfRangeIsAnError) {
  Model model;
  model.add<CategoryEncoding>({.num_tokens = 3});
  const Tensor good = Tensor::from<int64_t>({1, 2}, {0, 2}),
               bad = Tensor::from<int64_t>({1, 2}, {0, 3});
  model.build(good.type());
  EXPECT_THAT(numbers(model.predict(good)), ElementsAre(1, 0, 1));
  EXPECT_THAT(error_of([&] { model.predict(bad); }),
              AllOf(HasSubstr("category_encoding"), HasSubstr("3")));
}

// A fixed function: what was trained with one version must find its rows in another.
TEST(HashingTest, IsAFixedFunctionIntoItsBuckets) {
  std::vector<int64_t> keys(1000);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(i) - 500;
  const Tensor x = Tensor::from<int64_t>({1000, 1}, keys);
  const auto buckets = [&](HashingOptions options) {
    Model model;
    model.add<Hashing>(options);
    const Tensor y = model.predict(x);
    return std::vector<int64_t>(y.flat<int64_t>().begin(), y.flat<int64_t>().end());
  };
  const std::vector<int64_t> plain = buckets({.num_bins = 10});
  // SplitMix64's first number for the seed 0 is 0xe220a8397b1dcdaf.
  EXPECT_EQ(plain[500], static_cast<int64_t>(0xe220a8397b1dcdafu % 10));
  std::vector<int> counts(10);
  for (const int64_t bucket : plain) ++counts.at(static_cast<size_t>(bucket));
  for (const int count : counts) EXPECT_NEAR(count, 100, 40);
  EXPECT_NE(plain, buckets({.num_bins = 10, .salt = 1}));
  const std::vector<int64_t> masked = buckets({.num_bins = 10, .mask_value = 7});
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(masked[i] == 0, keys[i] == 7) << keys[i];
}

TEST(HashedCrossingTest, DependsOnEachInput) {
  const Tensor a = Tensor::from<int64_t>({4}, {1, 1, 2, 2}),
               b = Tensor::from<int64_t>({4}, {1, 2, 1, 2});
  const auto x = input({}, DType::kInt64), y = input({}, DType::kInt64);
  Model model({x, y}, {hashed_crossing({.num_bins = 1'000'000})({x, y})});
  const Tensor inputs[] = {a, b};
  const Tensor crossed = model.predict(inputs);
  const std::set<int64_t> different(crossed.flat<int64_t>().begin(), crossed.flat<int64_t>().end());
  EXPECT_EQ(different.size(), 4u);
}

TEST(PreprocessingLayersTest, OptionsAreChecked) {
  EXPECT_THAT(error_of([] { Model().add<Rescaling>(); }), HasSubstr("scale: expected a number"));
  EXPECT_THAT(error_of([] { Model().add<Normalization>({.mean = {1}}); }), HasSubstr("or neither"));
  EXPECT_THAT(error_of([] { Model().add<Discretization>(); }),
              HasSubstr("either bin_boundaries or num_bins"));
  EXPECT_THAT(error_of([] {
                Model().add<Discretization>({.bin_boundaries = {1, 1}});
              }),
              HasSubstr("rising numbers"));
  EXPECT_THAT(error_of([] {
                Model().add<IntegerLookup>({.vocabulary = {4, 4}});
              }),
              HasSubstr("4 stands there twice"));
}

// A layer of the program's own function, which no job file can have.
TEST(LambdaTest, CallsItsFunction) {
  Model model;
  model.add<Lambda>({.function = [](BuildContext&, std::span<const Value> x) { return -x[0]; }});
  EXPECT_THAT(numbers(model.predict(Tensor::from<float>({2}, {1, -2}))), ElementsAre(-1, 2));
  EXPECT_THAT(error_of([] { Model().add<Lambda>(); }), HasSubstr("only a C++ program can give"));
}

}  // namespace
}  // namespace trireme::nn
