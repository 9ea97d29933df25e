// Models whose data have several components of features.
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

// Each class has a corner of the plane that its token names: neither the point nor the token alone
// is enough.
data::Dataset tokens_and_points(int64_t n) {
  PhiloxGenerator random(3);
  std::vector<float> points;
  std::vector<int64_t> tokens, labels;
  for (int64_t i = 0; i < n; ++i) {
    const bool right = random.below(2) == 1;
    points.push_back(right ? 1.f : -1.f);
    points.push_back(random.normal());
    tokens.push_back(static_cast<int64_t>(random.below(2)));
    labels.push_back(right == (tokens.back() == 1) ? 1 : 0);
  }
  return data::from_tensors(
      {Tensor::from<float>({n, 2}, points), Tensor::from<int64_t>({n, 1}, tokens),
       Tensor::from<int64_t>({n}, labels)},
      {"point", "token", "label"});
}

// [point, embedding of the second component of the features].
class JoinToken : public Layer {
 public:
  struct Options {};
  explicit JoinToken(Options) : embedding_({.rows = 2, .dimension = 3, .name = "tokens"}) {}
  std::string type() const override { return "join_token"; }
  Value call(BuildContext& context, Value x) override {
    return ops::concat({x, ops::flatten(context.call(embedding_, context.feature(1)))}, 1);
  }

 private:
  Embedding embedding_;
};

void add_layers(Model& model) {
  model.add<JoinToken>()
      .add<Dense>({.units = 16, .activation = Activation::kRelu})
      .add<Dense>({.units = 2});
}

TEST(FeaturesTest, ALayerReadsASecondComponent) {
  Model model;
  add_layers(model);
  model.compile(classifier(std::make_shared<Adam>(constant_rate(0.02))));
  FitOptions options = quiet(4);
  options.validation = tokens_and_points(300).skip(200).batch(32);
  const History history = model.fit(tokens_and_points(200).shuffle(1).batch(16), options);
  EXPECT_GT(history.last("val_accuracy"), 0.99);
}

// Labels are left out, where there are any.
TEST(FeaturesTest, PredictsWithAndWithoutLabels) {
  Model model;
  add_layers(model);
  const data::Dataset labelled = tokens_and_points(10);
  data::Element batch;
  labelled.batch(10).iterator().next(batch);
  const Tensor from_tensors = model.predict(std::span(batch).first(2));
  const Tensor with_labels = model.predict(labelled.batch(4));
  const Tensor without_labels =
      model.predict(data::from_tensors({batch[0], batch[1]}, {"point", "token"}).batch(4));
  ASSERT_EQ(from_tensors.shape(), (Shape{10, 2}));
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(with_labels.as_double(i), from_tensors.as_double(i), 1e-6);
    EXPECT_EQ(with_labels.as_double(i), without_labels.as_double(i));
  }
}

TEST(FeaturesTest, SaysWhichLayerMissesAComponent) {
  Model model;
  add_layers(model);
  EXPECT_EQ(error_of([&] {
              model.build({DType::kFloat32, {-1, 2}});
            }),
            "layer 1 (join_token \"join_token\"): expected data with at least 2 components of "
            "features, found 1");
}

TEST(FeaturesTest, OtherDataMustHaveTheSameComponents) {
  Model model;
  add_layers(model);
  model.compile(classifier(std::make_shared<Adam>()));
  model.evaluate(tokens_and_points(10).batch(5));
  EXPECT_THAT(error_of([&] { model.evaluate(clusters(10).batch(5)); }),
              HasSubstr("built for 2 component(s) of features, the data set gives 1"));
}

}  // namespace
}  // namespace trireme::nn
