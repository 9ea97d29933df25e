// What job files name of this folder: losses, metrics, schedules, callbacks; and a source of data.
#include "core/nn/catalogs.h"

#include <algorithm>
#include <fstream>

#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"
#include "tests/support/option_texts.h"

namespace trireme::nn {
namespace {

using test::with_options;
using testing::HasSubstr;

Catalogs core() {
  Catalogs catalogs;
  register_core(catalogs);
  return catalogs;
}

float first_of(const std::function<Value(Value, Value)>& function, const Tensor& predictions,
               const Tensor& labels) {
  Graph graph(core_op_table());
  Session session(graph);
  return session
      .run({}, {function(ops::constant(graph, predictions), ops::constant(graph, labels))})[0]
      .flat<float>()[0];
}

Schedule schedule(std::string_view name, const test::OptionTexts& options, double rate,
                  int64_t steps = 100) {
  const auto made = core().schedules.make(name);
  return with_options(*made, options).make(rate, steps);
}

// An unknown loss once trained with another one.
TEST(CatalogsTest, UnknownNamesListTheNamesThereAre) {
  const Catalogs catalogs = core();
  EXPECT_THAT(error_of([&] { catalogs.losses.make("no_such_loss"); }),
              HasSubstr("sparse_categorical_cross_entropy, binary_cross_entropy, "
                        "mean_squared_error, categorical_cross_entropy"));
  EXPECT_THAT(error_of([&] { catalogs.losses.make("binary_cross_entrpy"); }),
              HasSubstr("did you mean 'binary_cross_entropy'?"));
  EXPECT_THAT(error_of([&] { catalogs.metrics.make("f1"); }),
              HasSubstr("accuracy, sparse_categorical_accuracy"));
  EXPECT_THAT(error_of([&] { catalogs.schedules.make("linear"); }),
              HasSubstr("step, cosine, exponential"));
}

// A loss that takes logits for probabilities gives a number that is wrong without a word.
TEST(CatalogsTest, LossesTakeLogitsUnlessTheyAreToldOtherwise) {
  const Tensor half = Tensor::from<float>({1, 1}, {0.5f});
  const Tensor yes = Tensor::from<float>({1, 1}, {1});
  const auto made = core().losses.make("BINARY_CROSS_ENTROPY");
  EXPECT_TRUE(made->make().takes_logits);
  EXPECT_NEAR(first_of(made->make().function, half, yes), std::log1p(std::exp(-0.5)), 1e-6);
  const Loss loss = with_options(*made, {{"from_logits", "0"}}).make();
  EXPECT_FALSE(loss.takes_logits);
  EXPECT_NEAR(first_of(loss.function, half, yes), std::log(2), 1e-6);
  EXPECT_EQ(core().losses.make("mean_squared_error")->make().name, "mean_squared_error");
}

// With probabilities a threshold of 0 would call every example a hit of class 1.
TEST(CatalogsTest, AccuracyHasTheThresholdThatBelongsToTheLoss) {
  const Tensor p = Tensor::from<float>({1, 1}, {0.3f});
  const Tensor no = Tensor::from<float>({1, 1}, {0});
  for (const char* name : {"accuracy", "binary_accuracy"}) {
    const auto metric = core().metrics.make(name);
    EXPECT_EQ(first_of(metric->make(binary_cross_entropy(false)).function, p, no), 1) << name;
    EXPECT_EQ(first_of(metric->make(binary_cross_entropy(true)).function, p, no), 0) << name;
  }
  const auto metric = core().metrics.make("binary_accuracy");
  with_options(*metric, {{"threshold", "0.4"}});
  EXPECT_EQ(first_of(metric->make(binary_cross_entropy(true)).function, p, no), 1);
}

// Of a loss from outside, too: the labels that it takes say which accuracy is meant.
TEST(CatalogsTest, AccuracyFollowsTheLabelsOfAnyLoss) {
  Loss loss = sparse_categorical_cross_entropy();
  loss.name = "my_loss";
  const Tensor scores = Tensor::from<float>({1, 3}, {1, 3, 2});
  EXPECT_EQ(first_of(accuracy(loss).function, scores, Tensor::from<int64_t>({1}, {1})), 1);
  loss.labels = LabelDomain::kFinite;
  EXPECT_THAT(error_of([&] { (void)accuracy(loss); }), HasSubstr("the loss \"my_loss\""));
}

// Labels were divided by the unit: an error of the model is as many units, its square unit².
TEST(CatalogsTest, FiguresOfScaledLabelsAreInTheLabelsUnits) {
  const auto unit = std::make_shared<double>(1);
  const Loss loss = in_label_units(mean_squared_error(), unit);
  const Metric error = in_label_units(mean_absolute_error(), unit);
  Metric root = mean_squared_error_metric();
  root.finish = [](double mean) { return std::sqrt(mean); };
  root = in_label_units(std::move(root), unit);
  *unit = 10;
  EXPECT_EQ(loss.finish(0.5), 50);
  EXPECT_EQ(error.finish(0.5), 5);
  EXPECT_EQ(root.finish(0.25), 5);
  EXPECT_EQ(in_label_units(binary_cross_entropy(), unit).finish, nullptr);
}

TEST(CatalogsTest, StepSchedulesMultiplyAtEachBoundary) {
  const Schedule rate = schedule("step", {{"boundaries", "10 20"}, {"factor", "0.5"}}, 2);
  EXPECT_EQ(rate(9), 2);
  EXPECT_EQ(rate(10), 1);
  EXPECT_EQ(rate(20), 0.5);
  EXPECT_DOUBLE_EQ(schedule("step", {{"boundaries", "3"}}, 1)(3), 0.1);
  // 0 that is written is 0.
  EXPECT_EQ(schedule("step", {{"boundaries", "3"}, {"factor", "0"}}, 1)(3), 0);
  EXPECT_EQ(schedule("step", {}, 2)(1000), 2);
  EXPECT_THAT(error_of([] {
                schedule("step", {{"boundaries", "20 10"}}, 1);
              }),
              HasSubstr("must increase"));
  EXPECT_THAT(error_of([] {
                schedule("step", {{"factor", "-1"}}, 1);
              }),
              HasSubstr("factor: expected at least 0, found -1"));
}

TEST(CatalogsTest, CosineSchedulesRiseAndFallToTheMinimum) {
  const test::OptionTexts options = {{"warmup_steps", "10"}, {"minimum", "0.5"}};
  const Schedule rate = schedule("cosine", options, 2, 110);
  EXPECT_DOUBLE_EQ(rate(4), 1);
  EXPECT_DOUBLE_EQ(rate(10), 2);
  EXPECT_DOUBLE_EQ(rate(60), 1.25);
  EXPECT_DOUBLE_EQ(rate(110), 0.5);
  EXPECT_DOUBLE_EQ(schedule("cosine", {{"steps", "50"}}, 2, 110)(50), 0);
  EXPECT_EQ(schedule("cosine", {}, 0)(1), 0);
  EXPECT_DOUBLE_EQ(schedule("cosine", {{"steps", "0"}}, 2, 110)(110), 0) << "the whole run";
  EXPECT_THAT(error_of([] {
                schedule("cosine", {{"steps", "-1"}}, 1);
              }),
              HasSubstr("steps: expected at least 0, found -1"));
  EXPECT_THAT(error_of([] {
                schedule("cosine", {{"warmup_steps", "100"}}, 1, 100);
              }),
              HasSubstr("expected warmup_steps below the 100 steps, found 100"));
  EXPECT_THAT(error_of([] {
                schedule("cosine", {{"steps", "5"}, {"warmup_steps", "5"}}, 1);
              }),
              HasSubstr("below the 5 steps"));
  EXPECT_THAT(error_of([] {
                schedule("cosine", {{"minimum", "2"}}, 1);
              }),
              HasSubstr("at most the learning rate, which is 1, found 2"));
}

TEST(CatalogsTest, ExponentialSchedulesMultiplyOnceInTheirSteps) {
  const test::OptionTexts options = {{"steps", "10"}, {"factor", "0.5"}};
  EXPECT_DOUBLE_EQ(schedule("exponential", options, 2)(20), 0.5);
  EXPECT_DOUBLE_EQ(schedule("exponential", options, 2)(5), 2 * std::sqrt(0.5));
  test::OptionTexts stairs = options;
  stairs["staircase"] = "1";
  EXPECT_DOUBLE_EQ(schedule("exponential", stairs, 2)(19), 1);
  EXPECT_DOUBLE_EQ(schedule("exponential", {}, 1, 200)(200), 0.1);
  EXPECT_THAT(error_of([] {
                schedule("exponential", {{"factor", "0"}}, 1);
              }),
              HasSubstr("factor: expected above 0, found 0"));
}

// A source of data as a program of somebody else writes it: build() and nothing else.
class LineSource : public data::Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "slope", .help = "of the line"}, slope_);
  }
  data::SourceData build(const data::SourceContext&) const override {
    std::vector<float> x, y;
    for (int i = 0; i < 64; ++i) {
      x.push_back(static_cast<float>(i) / 64);
      y.push_back(static_cast<float>(slope_) * x.back() + 1);
    }
    const data::Dataset all = data::from_tensors(
        {Tensor::from<float>({64, 1}, x), Tensor::from<float>({64, 1}, y)}, {"x", "y"});
    return {.train = all, .validation = all.take(0), .description = "a line"};
  }

 private:
  double slope_ = 1;
};

TEST(CatalogsTest, ASourceFromOutsideTrains) {
  Catalogs catalogs = core();
  catalogs.data.add<LineSource>("line", "", "Points of a line.");
  const auto source = catalogs.data.make("line");
  const data::SourceData data = with_options(*source, {{"slope", "3"}}).build({});
  Model model;
  model.add<Dense>({.units = 1, .name = "dense"});
  model.compile({.optimizer = std::make_shared<Sgd>(constant_rate(0.3)),
                 .loss = catalogs.losses.make("mean_squared_error")->make()});
  const History history = model.fit(data.train.batch(16), quiet(200));
  EXPECT_LT(history.last("loss"), 1e-3);
  EXPECT_NEAR(model.weights().at("dense/kernel").flat<float>()[0], 3, 0.1);
}

// validation_fraction: 0 gives no rows to validate with: figures of none are absent, not 0.
TEST(CatalogsTest, WithoutExamplesToValidateWithItsFiguresAreAbsent) {
  const data::SourceData data = LineSource().build({});
  Model model;
  model.add<Dense>({.units = 1});
  model.compile({.optimizer = std::make_shared<Sgd>(),
                 .loss = mean_squared_error(),
                 .metrics = {mean_absolute_error()}});
  FitOptions options = quiet(2);
  options.validation = data.validation.batch(16);
  TemporaryFolder folder;
  const std::string path = folder / "log.csv";
  options.callbacks = {std::make_shared<CsvLog>(path)};
  const History history = model.fit(data.train.batch(16), options);
  EXPECT_TRUE(history.values.at("loss")[1].has_value());
  EXPECT_FALSE(history.values.at("val_loss")[1].has_value());
  EXPECT_THAT(error_of([&] { (void)history.last("val_loss"); }), HasSubstr("val_loss"));
  std::ifstream in(path);
  std::string header, line;
  std::getline(in, header);
  std::getline(in, line);
  EXPECT_EQ(header, "epoch,loss,mean_absolute_error,val_loss,val_mean_absolute_error");
  EXPECT_TRUE(line.ends_with(",,")) << line;
  EXPECT_THAT(error_of([&] { model.evaluate(data.validation.batch(16)); }), HasSubstr("no"));
}

// Its lines are its own: the log of the training, which every job has, is another.
TEST(CatalogsTest, ACsvLogOfAJobStandsBesideTheTrainings) {
  TemporaryFolder folder;
  const auto named = [&] {
    std::shared_ptr<Callback> log = core().callbacks.make("csv_log");
    with_options(*log, {{"file", folder / "mine.csv"}});
    return log;
  };
  const auto fit = [&](FitOptions options) {
    Model model;
    model.add<Dense>({.units = 3});
    model.compile(classifier(std::make_shared<Sgd>(constant_rate(0.1))));
    model.fit(clusters(40).batch(8), options);
  };
  const auto text = [&](const std::string& name) {
    std::ifstream in(folder / name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  FitOptions options = quiet(3);
  const auto state = std::make_shared<StateAt>(12);
  options.callbacks = {std::make_shared<CsvLog>(folder / "log.csv"), named(), state};
  fit(options);
  const std::string whole = text("log.csv");
  EXPECT_EQ(std::ranges::count(whole, '\n'), 4);
  EXPECT_EQ(text("mine.csv"), whole);
  // Resumed without the training's own, which would otherwise lend its lines.
  options = quiet(3);
  options.resume = state->state;
  options.callbacks = {named()};
  fit(options);
  EXPECT_EQ(text("mine.csv"), whole);
  EXPECT_THAT(error_of([] { with_options(*core().callbacks.make("csv_log"), {}); }),
              HasSubstr("expected a file"));
}

// Of several workers one writes.
TEST(CatalogsTest, ACsvLogAsksWhetherItsProcessWrites) {
  TemporaryFolder folder;
  std::shared_ptr<Callback> log = core().callbacks.make("csv_log");
  with_options(*log, {{"file", folder / "mine.csv"}});
  log->set_writes([] { return false; });
  FitOptions options = quiet(1);
  options.callbacks = {log};
  Model model;
  model.add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Sgd>(constant_rate(0.1))));
  model.fit(clusters(40).batch(8), options);
  EXPECT_FALSE(std::filesystem::exists(folder / "mine.csv"));
}

}  // namespace
}  // namespace trireme::nn
