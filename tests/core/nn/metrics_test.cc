// The AUC: a metric that is no mean.
#include <limits>

#include "core/base/area_under_curve.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

// A model whose logits are its features.
class Same : public Layer {
 public:
  struct Options {};
  explicit Same(Options) {}
  std::string type() const override { return "same"; }
  Value call(BuildContext&, Value x) override { return x; }
};

double auc_of(const std::vector<float>& logits, const std::vector<float>& labels, int64_t batch) {
  const auto n = static_cast<int64_t>(logits.size());
  Model model;
  model.add<Same>();
  model.compile({.optimizer = std::make_shared<Sgd>(),
                 .loss = binary_cross_entropy(),
                 .metrics = {area_under_curve_metric(), binary_accuracy()}});
  const data::Dataset examples = data::from_tensors(
      {Tensor::from<float>({n, 1}, logits), Tensor::from<float>({n, 1}, labels)}, {"x", "y"});
  return model.evaluate(examples.batch(batch)).at("auc");
}

TEST(AreaUnderCurveTest, CountsPairs) {
  const std::vector<double> negatives = {3, 1, 0}, positives = {1, 1, 2};
  // Of 4 · 4 pairs the positive one wins 3 + 2 · 4, and 3 + 1 are ties.
  EXPECT_DOUBLE_EQ(area_under_curve(negatives, positives), (3 + 8 + 2) / 16.);
  const std::vector<double> none = {0, 0, 0};
  EXPECT_EQ(area_under_curve(none, positives), 0.5);
}

TEST(AucTest, IsTheShareOfPairsInTheRightOrder) {
  PhiloxGenerator random(1);
  std::vector<float> logits, labels;
  for (int i = 0; i < 1000; ++i) {
    labels.push_back(random.uniform() < 0.3f ? 1.f : 0.f);
    logits.push_back(-2 + labels.back() + random.normal());
  }
  double right = 0, pairs = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    for (size_t j = 0; j < logits.size(); ++j) {
      if (labels[i] != 1 || labels[j] != 0) continue;
      ++pairs;
      right += logits[i] > logits[j] ? 1 : logits[i] == logits[j] ? 0.5 : 0;
    }
  }
  const double whole = auc_of(logits, labels, 1000);
  EXPECT_NEAR(whole, right / pairs, 1e-4);
  // A mean of the batches' own values would differ.
  EXPECT_NEAR(auc_of(logits, labels, 64), whole, 1e-6);
}

TEST(AucTest, FollowsTheOrderAlone) {
  EXPECT_EQ(auc_of({-1, 0, 1, 2}, {0, 0, 1, 1}, 4), 1);
  EXPECT_EQ(auc_of({-1, 0, 1, 2}, {1, 1, 0, 0}, 4), 0);
  EXPECT_EQ(auc_of({-100, 100, -1000, 50}, {0, 1, 0, 1}, 2), 1);
  EXPECT_EQ(auc_of({0.5, 0.5}, {0, 1}, 2), 0.5);
}

// The loss says what is wrong; the metric may not fail before it.
TEST(AucTest, SurvivesWhatIsNotANumber) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(auc_of({kNan, kNan}, {0, 1}, 2), 0.5);
  EXPECT_EQ(auc_of({-kInfinity, kInfinity}, {0, 1}, 2), 1);
}

TEST(AucTest, NeedsOneLogitAnExample) {
  Model model;
  model.add<Dense>({.units = 2});
  model.compile({.optimizer = std::make_shared<Sgd>(),
                 .loss = mean_squared_error(),
                 .metrics = {area_under_curve_metric()}});
  const Tensor wide = Tensor::zeros(DType::kFloat32, {4, 2});
  EXPECT_EQ(error_of([&] {
              model.evaluate(data::from_tensors({wide, wide}, {"x", "y"}).batch(2));
            }),
            "auc: expected one logit an example, found f32[?, 2]");
}

// Progress bar, log and history show the number, not the histogram; a resumed training goes on with
// the histogram.
TEST(AucTest, IsShownLikeAnyMetricAndSurvivesAResume) {
  const auto examples = [] {
    PhiloxGenerator random(1);
    std::vector<float> x, y;
    for (int i = 0; i < 200; ++i) {
      y.push_back(random.uniform() < 0.5f ? 1.f : 0.f);
      x.push_back(y.back() + random.normal());
    }
    return data::from_tensors({Tensor::from<float>({200, 1}, x), Tensor::from<float>({200, 1}, y)},
                              {"x", "y"});
  }();
  struct Stop : Callback {
    int64_t at;
    StateMap* state;
    Stop(int64_t step, StateMap* to) : at(step), state(to) {}
    void on_batch_end(Training& training, Logs logs) override {
      EXPECT_EQ(logs.size(), 2u);
      if (training.step() != at) return;
      *state = training.state();
      training.request_stop("the test asked for it");
    }
  };
  const auto fit = [&](FitOptions options) {
    Model model;
    model.add<Dense>({.units = 1});
    model.compile({.optimizer = std::make_shared<Sgd>(constant_rate(1)),
                   .loss = binary_cross_entropy(),
                   .metrics = {area_under_curve_metric()}});
    options.validation = examples.batch(64);
    return model.fit(examples.shuffle(2).batch(16), options);
  };
  std::ostringstream shown;
  FitOptions options{.epochs = 2, .progress = ProgressOptions{.out = &shown}};
  const History whole = fit(options);
  EXPECT_GT(whole.last("auc"), 0.6);
  EXPECT_THAT(shown.str(),
              testing::ContainsRegex(" - auc: 0\\.[0-9]+ - val_loss: .* - val_auc: 0"));

  StateMap state;
  options = quiet(2);
  options.callbacks = {std::make_shared<Stop>(20, &state)};
  fit(options);
  options = quiet(2);
  options.resume = state;
  EXPECT_EQ(fit(options).last("auc"), whole.last("auc"));
}

}  // namespace
}  // namespace trireme::nn
