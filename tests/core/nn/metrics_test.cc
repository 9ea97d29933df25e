// The AUC: a metric that is no mean.
#include <fstream>
#include <optional>

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

// The independent answer: every pair is looked at.
double count_pairs(const std::vector<float>& scores, const std::vector<float>& labels) {
  double right = 0, pairs = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (labels[i] != 1) continue;
    for (size_t j = 0; j < scores.size(); ++j) {
      if (labels[j] != 0) continue;
      ++pairs;
      right += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
    }
  }
  return right / pairs;
}

struct Scored {
  std::vector<float> scores, labels;
};

// `digits`: how finely the scores are rounded, so that many are equal.
Scored draw(int64_t count, double positives, double scale, double offset, double digits) {
  PhiloxGenerator random(static_cast<uint64_t>(count) + 17);
  Scored drawn;
  for (int64_t i = 0; i < count; ++i) {
    const bool positive = random.uniform() < static_cast<float>(positives);
    double score = offset + scale * (random.normal() + (positive ? 0.8 : 0));
    if (digits > 0) score = std::round(score * digits) / digits;
    drawn.scores.push_back(static_cast<float>(score));
    drawn.labels.push_back(positive ? 1.F : 0.F);
  }
  return drawn;
}

std::optional<double> ranked(const std::vector<float>& scores, const std::vector<float>& labels) {
  RankedScores ranks;
  for (size_t i = 0; i < scores.size(); ++i) ranks.add(scores[i], labels[i] == 1);
  return ranks.area_under_curve();
}

TEST(RankedScoresTest, CountPairsInTheRightOrder) {
  // Scores within 1e-4 of 1000, logits beyond 16, probabilities of rare clicks, ties, few of a
  // class.
  for (const auto& [positives, scale, offset, digits] : {std::tuple{0.5, 1.0, 0.0, 0.0},
                                                         {0.3, 50.0, 0.0, 0.0},
                                                         {0.3, 1e-4, 1000.0, 0.0},
                                                         {0.01, 1e-7, 1e-6, 0.0},
                                                         {0.5, 1.0, 0.0, 4.0},
                                                         {0.003, 50.0, -40.0, 0.1},
                                                         {0.99, 1e30, 0.0, 0.0}}) {
    const Scored drawn = draw(3000, positives, scale, offset, digits);
    ASSERT_NEAR(ranked(drawn.scores, drawn.labels).value(), count_pairs(drawn.scores, drawn.labels),
                1e-12)
        << positives << " " << scale << " " << offset;
  }
}

// There is no pair to count; 0.5 would look like a model that has learnt nothing.
TEST(RankedScoresTest, OneClassHasNoCurve) {
  EXPECT_EQ(ranked({1, 2, 3}, {0, 0, 0}), std::nullopt);
  EXPECT_EQ(ranked({1, 2, 3}, {1, 1, 1}), std::nullopt);
  EXPECT_EQ(ranked({}, {}), std::nullopt);
  EXPECT_EQ(ranked({1, std::nanf("")}, {0, 1}), std::nullopt);
}

TEST(RankedScoresTest, InfinitiesAndBothZerosHaveARank) {
  EXPECT_EQ(ranked({-HUGE_VALF, HUGE_VALF, 3}, {0, 1, 0}), 1);
  EXPECT_EQ(ranked({-0.0F, 0.0F}, {0, 1}), 0.5);
}

// Workers score their own examples; a checkpoint holds what was scored so far.
TEST(RankedScoresTest, PartsAddUpAndSurviveACheckpoint) {
  const Scored drawn = draw(5000, 0.2, 30, 0, 2);
  RankedScores parts[3], all;
  for (size_t i = 0; i < drawn.scores.size(); ++i) {
    parts[i % 7 % 3].add(drawn.scores[i], drawn.labels[i] == 1);
    if (i == 1000) {
      const std::vector<double> state = parts[0].state();
      parts[0] = {};
      parts[0].restore(state);
    }
  }
  for (const RankedScores& part : parts) all.merge(part);
  EXPECT_EQ(all.examples(), 5000);
  EXPECT_NEAR(all.area_under_curve().value(), count_pairs(drawn.scores, drawn.labels), 1e-12);
}

// What a sort of all scores gives; random floats have next to no ties.
double sorted_area(const Scored& drawn) {
  std::vector<std::pair<float, float>> sorted;
  for (size_t i = 0; i < drawn.scores.size(); ++i) {
    sorted.emplace_back(drawn.scores[i], drawn.labels[i]);
  }
  std::ranges::sort(sorted);
  double below = 0, right = 0, positives = 0;
  for (const auto& [score, label] : sorted) {
    if (label == 1) {
      right += below;
      ++positives;
    } else {
      ++below;
    }
  }
  return right / (positives * below);
}

// The memory is bounded, and so is the error: also when the scores' range changes meanwhile, as
// that of a model that learns.
TEST(RankedScoresTest, ManyScoresAreNearlyExactInBoundedMemory) {
  Scored drawn = draw(600'000, 0.02, 1, -4, 0);
  double bound = 1. / (1 << 16);
  for (const auto& more : {draw(500'000, 0.4, 1e-4, -3.2, 0), draw(400'000, 0.1, 100, 20, 0)}) {
    RankedScores ranks, parts[2];
    for (size_t i = 0; i < drawn.scores.size(); ++i) {
      ranks.add(drawn.scores[i], drawn.labels[i] == 1);
      parts[i % 2].add(drawn.scores[i], drawn.labels[i] == 1);
    }
    const double exact = sorted_area(drawn);
    EXPECT_NEAR(ranks.area_under_curve().value(), exact, bound);
    EXPECT_LT(ranks.state().size(), 4 * (RankedScores::kExactScores + (size_t{1} << 16)));
    parts[0].merge(parts[1]);
    EXPECT_NEAR(parts[0].area_under_curve().value(), exact, bound);
    bound = 3e-4;
    drawn.scores.insert(drawn.scores.end(), more.scores.begin(), more.scores.end());
    drawn.labels.insert(drawn.labels.end(), more.labels.begin(), more.labels.end());
  }
}

TEST(RankedScoresTest, RefuseAStateThatIsNone) {
  RankedScores ranks;
  for (const std::vector<double>& state : {std::vector<double>{},
                                           {0, 1, 2},
                                           {0, 1, 2, 1, 1, 1},
                                           {0, 0, -1},
                                           {0, 0, 0.5},
                                           {0, 0, 1e12}}) {
    EXPECT_NE(error_of([&] { ranks.restore(state); }), "");
  }
}

TEST(AucTest, IsTheShareOfPairsInTheRightOrder) {
  const Scored drawn = draw(1000, 0.3, 20, -2, 0);
  const double whole = auc_of(drawn.scores, drawn.labels, 1000);
  EXPECT_NEAR(whole, count_pairs(drawn.scores, drawn.labels), 1e-12);
  // A mean of the batches' own values would differ.
  EXPECT_EQ(auc_of(drawn.scores, drawn.labels, 64), whole);
}

TEST(AucTest, FollowsTheOrderAlone) {
  EXPECT_EQ(auc_of({-1, 0, 1, 2}, {0, 0, 1, 1}, 4), 1);
  EXPECT_EQ(auc_of({-1, 0, 1, 2}, {1, 1, 0, 0}, 4), 0);
  EXPECT_EQ(auc_of({-100, 100, -1000, 50}, {0, 1, 0, 1}, 2), 1);
  EXPECT_EQ(auc_of({0.5, 0.5}, {0, 1}, 2), 0.5);
  EXPECT_EQ(auc_of({20, 30, 17, 40}, {0, 1, 0, 1}, 2), 1);  // all beyond 16
}

// A figure that does not exist is no number: not in the log, the progress, the history.
TEST(AbsentFiguresTest, AreLeftOut) {
  const TemporaryFolder folder;
  const auto of_one_class = [](int64_t n) {
    return data::from_tensors(
        {Tensor::zeros(DType::kFloat32, {n, 1}), Tensor::zeros(DType::kFloat32, {n, 1})},
        {"x", "y"});
  };
  for (const int64_t validation : {0, 3}) {
    Model model;
    model.add<Dense>({.units = 1});
    model.compile({.optimizer = std::make_shared<Sgd>(),
                   .loss = binary_cross_entropy(),
                   .metrics = {binary_accuracy(), area_under_curve_metric()}});
    std::ostringstream shown;
    FitOptions options{.epochs = 1, .progress = ProgressOptions{.out = &shown}};
    options.validation = of_one_class(3).take(validation).batch(2);
    options.callbacks = {std::make_shared<CsvLog>(folder / "log.csv")};
    const History history = model.fit(of_one_class(4).batch(2), options);
    EXPECT_GT(history.last("loss"), 0);
    EXPECT_EQ(history.values.at("auc")[0], std::nullopt);
    EXPECT_EQ(history.values.at("val_auc")[0], std::nullopt);
    EXPECT_THAT(error_of([&] { history.last("val_auc"); }), testing::HasSubstr("one class only"));
    EXPECT_THAT(shown.str(), testing::Not(testing::HasSubstr("auc")));
    std::ifstream log(folder / "log.csv");
    std::string header, line;
    std::getline(log, header);
    std::getline(log, line);
    EXPECT_EQ(header, "epoch,loss,accuracy,auc,val_loss,val_accuracy,val_auc");
    if (validation == 0) {
      EXPECT_EQ(history.values.at("val_loss")[0], std::nullopt);
      EXPECT_THAT(shown.str(), testing::Not(testing::HasSubstr("val_")));
      EXPECT_THAT(line, testing::ContainsRegex("^0,[0-9.]+,[0-9.]+,,,,$"));
      EXPECT_THAT(error_of([&] { model.evaluate(of_one_class(3).take(0).batch(2)); }),
                  testing::HasSubstr("no examples"));
    } else {
      EXPECT_THAT(line, testing::ContainsRegex("^0,[0-9.]+,[0-9.]+,,[0-9.]+,[0-9.]+,$"));
      EXPECT_THAT(model.evaluate(of_one_class(3).batch(2)),
                  testing::AllOf(testing::Contains(testing::Key("accuracy")),
                                 testing::Not(testing::Contains(testing::Key("auc")))));
    }
  }
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
