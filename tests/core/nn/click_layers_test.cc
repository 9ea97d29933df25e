// DLRM and wide & deep against their formulas, and how well they learn.
#include "core/nn/click_layers.h"

#include "core/data/clicks.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatch = 5, kNumbers = 3, kKeys = 4, kRows = 50;

struct Inputs {
  Tensor numbers{DType::kFloat32, {kBatch, kNumbers}}, keys{DType::kInt64, {kBatch, kKeys}};
  Inputs() {
    PhiloxGenerator random(2);
    for (float& x : numbers.flat<float>()) x = random.normal();
    for (int64_t& key : keys.flat<int64_t>()) key = static_cast<int64_t>(random.below(kRows));
  }
  float number(int64_t row, int64_t i) const {
    return numbers.flat<float>()[static_cast<size_t>(row * kNumbers + i)];
  }
  int64_t key(int64_t row, int64_t i) const {
    return keys.flat<int64_t>()[static_cast<size_t>(row * kKeys + i)];
  }
};

// Weights at random everywhere, so that nothing is hidden by a zero.
StateMap randomize(Model& model) {
  PhiloxGenerator random(4);
  StateMap weights = model.weights();
  for (auto& [name, value] : weights) {
    value = value.clone();
    for (float& x : value.flat<float>()) x = random.normal();
  }
  model.set_weights(weights);
  return weights;
}

double at(const StateMap& weights, const std::string& name, int64_t row, int64_t column = 0) {
  const Tensor& value = weights.at(name);
  const int64_t width = value.shape().rank() == 2 ? value.shape()[1] : 1;
  return value.as_double(row * width + column);
}

TEST(DlrmTest, IsTheFormulaOfThePaper) {
  constexpr int64_t kDim = 2;
  const Inputs inputs;
  Model model;
  model.add<Dlrm>({.rows = kRows, .dimension = kDim, .bottom = {}, .top = {}});
  model.build({inputs.numbers.type(), inputs.keys.type()});
  const StateMap weights = randomize(model);
  const Tensor found = model.predict(std::vector<Tensor>{inputs.numbers, inputs.keys});
  ASSERT_EQ(found.shape(), (Shape{kBatch, 1}));
  for (int64_t row = 0; row < kBatch; ++row) {
    std::vector<std::array<double, kDim>> vectors(1 + kKeys);
    for (int64_t d = 0; d < kDim; ++d) {
      double sum = at(weights, "dlrm/bottom_last/bias", d);
      for (int64_t i = 0; i < kNumbers; ++i) {
        sum += inputs.number(row, i) * at(weights, "dlrm/bottom_last/kernel", i, d);
      }
      const auto slot = static_cast<size_t>(d);
      vectors[0][slot] = std::max(sum, 0.);
      for (int64_t k = 0; k < kKeys; ++k) {
        vectors[static_cast<size_t>(k + 1)][slot] =
            at(weights, "dlrm/table/embeddings", inputs.key(row, k), d);
      }
    }
    std::vector<double> top(vectors[0].begin(), vectors[0].end());
    for (size_t i = 0; i < vectors.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        top.push_back(vectors[i][0] * vectors[j][0] + vectors[i][1] * vectors[j][1]);
      }
    }
    double logit = at(weights, "dlrm/logit/bias", 0);
    for (size_t i = 0; i < top.size(); ++i) {
      logit += top[i] * at(weights, "dlrm/logit/kernel", static_cast<int64_t>(i));
    }
    EXPECT_NEAR(found.as_double(row), logit, 1e-4);
  }
}

TEST(WideDeepTest, IsTheFormulaOfThePaper) {
  constexpr int64_t kDim = 2;
  const Inputs inputs;
  Model model;
  model.add<WideDeep>({.rows = kRows, .dimension = kDim, .deep = {}});
  model.build({inputs.numbers.type(), inputs.keys.type()});
  const StateMap weights = randomize(model);
  const Tensor found = model.predict(std::vector<Tensor>{inputs.numbers, inputs.keys});
  for (int64_t row = 0; row < kBatch; ++row) {
    double logit = at(weights, "wide_deep/logit/bias", 0);
    for (int64_t i = 0; i < kNumbers; ++i) {
      logit += inputs.number(row, i) * (at(weights, "wide_deep/wide_numbers/kernel", i) +
                                        at(weights, "wide_deep/logit/kernel", i));
    }
    for (int64_t k = 0; k < kKeys; ++k) {
      const int64_t key = inputs.key(row, k);
      logit += at(weights, "wide_deep/wide/embeddings", key);
      for (int64_t d = 0; d < kDim; ++d) {
        logit += at(weights, "wide_deep/table/embeddings", key, d) *
                 at(weights, "wide_deep/logit/kernel", kNumbers + k * kDim + d);
      }
    }
    EXPECT_NEAR(found.as_double(row), logit, 1e-4);
  }
}

TEST(DlrmTest, SaysWhatDataItNeeds) {
  Model model;
  model.add<Dlrm>({.rows = kRows});
  EXPECT_EQ(
      error_of([&] {
        model.build({DType::kFloat32, {-1, 13}});
      }),
      "layer 1 (dlrm \"dlrm\"): expected data with at least 2 components of features, found 1");
  EXPECT_THAT(error_of([&] {
                model.build({DType::kInt64, {-1, 26}});
              }),
              HasSubstr("expected numbers f32[batch, n], found i64[?, 26]"));
  EXPECT_EQ(error_of([] { Model().add<Dlrm>(); }), "dlrm: keys: expected at least 1, found 0");
}

template <typename L>
double auc_after_one_epoch(typename L::Options options, const data::Clicks& log, int64_t examples) {
  Model model;
  model.add<L>(std::move(options));
  model.compile({.optimizer = std::make_shared<Adagrad>(
                     constant_rate(0.03), rules::Adagrad{.initial_accumulator = 1e-6}),
                 .loss = binary_cross_entropy(),
                 .metrics = {area_under_curve_metric()}});
  FitOptions fit = quiet(1);
  fit.validation = log.dataset(examples, 10'000).batch(1000);
  const History history = model.fit(log.dataset(0, examples).shuffle(1).batch(256), fit);
  // An update costs what a batch holds, not what the table holds.
  for (const Update& update : model.train_graph().updates) {
    const auto& name = update.variable.node->template attribute<std::string>("name");
    EXPECT_EQ(update.gradient.is_sparse(), name.ends_with("/embeddings")) << name;
  }
  return history.last("val_auc");
}

// The planted model is linear in the numbers and has a weight for each word, as the wide part does.
TEST(WideDeepTest, ComesNearThePlantedModel) {
  constexpr int64_t kExamples = 60'000;
  const data::Clicks log({.keys = 26 * 20});
  const double planted = log.bayes_auc(kExamples, 10'000).value();
  const double found = auc_after_one_epoch<WideDeep>(
      {.rows = 26 * 20, .dimension = 4, .deep = {16}}, log, kExamples);
  EXPECT_GT(found, planted - 0.01);
  EXPECT_LT(found, planted + 0.005);
}

TEST(DlrmTest, ComesNearThePlantedModel) {
  constexpr int64_t kExamples = 60'000;
  const data::Clicks log({.keys = 26 * 20});
  const double planted = log.bayes_auc(kExamples, 10'000).value();
  const double found = auc_after_one_epoch<Dlrm>(
      {.rows = 26 * 20, .dimension = 8, .bottom = {32}, .top = {32}}, log, kExamples);
  EXPECT_GT(found, planted - 0.02);
  EXPECT_LT(found, planted + 0.005);
}

}  // namespace
}  // namespace trireme::nn
