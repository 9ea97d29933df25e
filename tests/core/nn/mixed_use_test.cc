// Several outputs, weights of examples and classes, steps on single batches, training steps of
// one's own, and weights of another model.
#include "core/nn/count_metrics.h"
#include "core/nn/functional.h"
#include "core/nn/load_weights.h"
#include "core/nn/train_step.h"
#include "core/ops/ops.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

// Two features; a class and a number that depend on them; how much each example counts.
struct Examples {
  Tensor x, classes, numbers, weights;
};

Examples draw(int64_t n) {
  PhiloxGenerator random(7);
  std::vector<float> x, numbers, weights;
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < n; ++i) {
    x.push_back(random.normal());
    x.push_back(random.normal());
    const float sum = x[x.size() - 2] + x.back();
    classes.push_back(sum > 0 ? 1 : 0);
    numbers.push_back(2 * sum + 0.1f * random.normal());
    weights.push_back(i % 3 == 0 ? 0 : random.uniform() + 0.5f);
  }
  return {Tensor::from<float>({n, 2}, x), Tensor::from<int64_t>({n}, classes),
          Tensor::from<float>({n, 1}, numbers), Tensor::from<float>({n}, weights)};
}

std::unique_ptr<Model> two_outputs(std::vector<OutputLoss> outputs) {
  const auto x = input({2});
  const auto hidden = dense({.units = 8, .activation = Activation::kTanh, .name = "hidden"})(x);
  const auto a = dense({.units = 2, .name = "a"})(hidden);
  const auto b = dense({.units = 1, .name = "b"})(hidden);
  auto model = std::make_unique<Model>(std::vector{x}, std::vector{a, b});
  model->compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(0.1)), .outputs = std::move(outputs)});
  return model;
}

// The loss is the weighted sum of all, each of its own labels; both layers are trained.
TEST(SeveralOutputsTest, EachHasItsLossItsLabelsAndItsMetrics) {
  const Examples all = draw(64);
  const Loss of_a = sparse_categorical_cross_entropy();
  const auto model = two_outputs({{.output = "a", .loss = of_a, .metrics = {accuracy(of_a)}},
                                  {.output = "b",
                                   .loss = mean_squared_error(),
                                   .weight = 0.25,
                                   .metrics = {mean_absolute_error()}}});
  const data::Dataset train =
      data::from_tensors({all.x, all.classes, all.numbers}, {"x", "class", "number"}).batch(16);
  const auto before = model->evaluate(train);
  EXPECT_NEAR(before.at("loss"), before.at("a_loss") + 0.25 * before.at("b_loss"), 1e-6);
  const StateMap weights = model->weights();
  const History history = model->fit(train, quiet(3));
  EXPECT_THAT(model->log_names(false), testing::ElementsAre("loss", "a_loss", "b_loss",
                                                            "a_accuracy", "b_mean_absolute_error"));
  EXPECT_LT(history.last("a_loss"), before.at("a_loss"));
  EXPECT_LT(history.last("b_loss"), before.at("b_loss"));
  for (const char* name : {"hidden/kernel", "a/kernel", "b/kernel"}) {
    EXPECT_FALSE(
        std::ranges::equal(model->weights().at(name).flat<float>(), weights.at(name).flat<float>()))
        << name;
  }
  // Labels are checked, each by its own loss.
  Tensor wrong = all.classes.clone();
  wrong.flat<int64_t>()[5] = 2;
  EXPECT_THAT(
      error_of([&] {
        model->evaluate(data::from_tensors({all.x, wrong, all.numbers}, {"x", "c", "n"}).batch(16));
      }),
      testing::HasSubstr("row 5 of this batch has the label 2"));
}

// An autoencoder's labels are its features.
TEST(SeveralOutputsTest, LabelsAreNamedComponents) {
  const Examples all = draw(32);
  Model model;
  model.add<Dense>({.units = 2, .name = "again"});
  model.compile({.optimizer = std::make_shared<Sgd>(constant_rate(0.1)),
                 .outputs = {{.output = "again", .loss = mean_squared_error(), .labels = "x"}}});
  const data::Dataset train = data::from_tensors({all.x, all.classes}, {"x", "class"}).batch(8);
  const History history = model.fit(train, quiet(40));
  EXPECT_LT(history.last("loss"), 0.05);
  Model other;
  other.add<Dense>({.units = 2, .name = "again"});
  other.compile({.optimizer = std::make_shared<Sgd>(),
                 .outputs = {{.output = "again", .loss = mean_squared_error(), .labels = "z"}}});
  EXPECT_THAT(error_of([&] { other.evaluate(train); }),
              testing::HasSubstr("the data has no \"z\", only \"x\", \"class\""));
  Model third;
  third.add<Dense>({.units = 2, .name = "again"});
  third.compile({.optimizer = std::make_shared<Sgd>(),
                 .outputs = {{.output = "agin", .loss = mean_squared_error(), .labels = "x"}}});
  EXPECT_THAT(error_of([&] { third.evaluate(train); }), testing::HasSubstr("again"));
}

// Where two inputs are built before the data are looked at, there is one component of labels.
TEST(SeveralOutputsTest, TwoThatNameNoLabelsNeedTwoComponentsOfThem) {
  const Examples all = draw(32);
  Model model;
  model.add<Dense>({.units = 2, .name = "a"}).add<Dense>({.units = 2, .name = "b"});
  model.set_outputs({"a", "b"});
  model.compile({.optimizer = std::make_shared<Sgd>(),
                 .outputs = {{.output = "a", .loss = mean_squared_error()},
                             {.output = "b", .loss = mean_squared_error()}}});
  const BatchTypes types{.features = {{DType::kFloat32, {-1, 2}}, {DType::kInt64, {-1}}},
                         .labels = {{DType::kFloat32, {-1, 2}}},
                         .names = {"x", "class", "y"}};
  EXPECT_THAT(error_of([&] { model.build_training(types); }),
              testing::HasSubstr("the labels of output \"b\": the data has 1 component"));
}

std::unique_ptr<Model> classifier_with(std::map<int64_t, double> class_weights = {}) {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = 2});
  const Loss loss = sparse_categorical_cross_entropy();
  model->compile({.optimizer = std::make_shared<Sgd>(constant_rate(0.1)),
                  .loss = loss,
                  .metrics = {sparse_categorical_accuracy()},
                  .weighted_metrics = {sparse_categorical_accuracy("weighted_accuracy")},
                  .class_weights = std::move(class_weights)});
  return model;
}

// As Keras: the loss is Σ weight·loss / number of examples, a weighted metric Σ weight·value / Σ
// weight.
TEST(SampleWeightTest, CountsInTheLossAndInWeightedMetrics) {
  const Examples all = draw(30);
  const auto model = classifier_with();
  const data::Dataset weighted =
      data::from_tensors({all.x, all.classes, all.weights}, {"x", "class", "sample_weight"});
  const auto found = model->evaluate(weighted.batch(7));
  const Tensor logits = model->predict(all.x);
  double loss = 0, hits = 0, weighted_hits = 0, weights = 0;
  for (size_t i = 0; i < 30; ++i) {
    const float zero = logits.flat<float>()[2 * i], one = logits.flat<float>()[2 * i + 1];
    const bool is_one = all.classes.flat<int64_t>()[i] == 1;
    const double weight = all.weights.flat<float>()[i];
    loss += weight * std::log1p(std::exp(is_one ? zero - one : one - zero));
    const bool hit = (one > zero) == is_one;
    hits += hit;
    weighted_hits += weight * hit;
    weights += weight;
  }
  EXPECT_NEAR(found.at("loss"), loss / 30, 1e-5);
  EXPECT_NEAR(found.at("accuracy"), hits / 30, 1e-6);
  EXPECT_NEAR(found.at("weighted_accuracy"), weighted_hits / weights, 1e-6);
}

TEST(SampleWeightTest, WeightsThatAreNoneAreRefused) {
  const Examples all = draw(6);
  for (const float wrong : {-1.f, std::nanf("")}) {
    Tensor weights = all.weights.clone();
    weights.flat<float>()[4] = wrong;
    const data::Dataset data =
        data::from_tensors({all.x, all.classes, weights}, {"x", "class", "sample_weight"});
    EXPECT_THAT(error_of([&] { classifier_with()->fit(data.batch(6), quiet(1)); }),
                testing::AllOf(testing::HasSubstr("row 4 of this batch"),
                               testing::HasSubstr("finite weights of at least 0")));
  }
  const data::Dataset wide =
      data::from_tensors({all.x, all.classes, all.numbers}, {"x", "class", "sample_weight"});
  EXPECT_THAT(error_of([&] { classifier_with()->fit(wide.batch(6), quiet(1)); }),
              testing::HasSubstr("expected a number for each example"));
}

// The weights of classes are those of their examples in training; a validation counts all alike.
TEST(ClassWeightTest, IsTheWeightOfItsExamples) {
  const Examples all = draw(32);
  Tensor weights(DType::kFloat32, {32});
  for (size_t i = 0; i < 32; ++i) {
    weights.flat<float>()[i] = all.classes.flat<int64_t>()[i] == 1 ? 3 : 1;
  }
  const auto by_class = classifier_with({{1, 3}}), by_example = classifier_with();
  const data::Dataset plain = data::from_tensors({all.x, all.classes}, {"x", "class"});
  FitOptions options = quiet(2);
  options.validation = plain.batch(8);
  const History a = by_class->fit(plain.batch(8), options);
  const History b = by_example->fit(
      data::from_tensors({all.x, all.classes, weights}, {"x", "class", "sample_weight"}).batch(8),
      quiet(2));
  EXPECT_DOUBLE_EQ(a.last("loss"), b.last("loss"));
  EXPECT_DOUBLE_EQ(a.last("weighted_accuracy"), b.last("weighted_accuracy"));
  EXPECT_TRUE(std::ranges::equal(by_class->weights().at("dense/kernel").flat<float>(),
                                 by_example->weights().at("dense/kernel").flat<float>()));
  EXPECT_NEAR(a.last("val_loss"), by_class->evaluate(plain.batch(8)).at("loss"), 1e-7);
  EXPECT_THAT(error_of([] { classifier_with({{0, -1}}); }), testing::HasSubstr("at least 0"));
}

// A batch is a step, as fit takes it.
TEST(OnBatchTest, ABatchIsAStepOfFit) {
  const Examples all = draw(48);
  const data::Dataset data = data::from_tensors({all.x, all.classes}, {"x", "class"}).batch(16);
  const auto by_fit = classifier_with(), by_batch = classifier_with();
  const auto recorder = std::make_shared<LossRecorder>();
  FitOptions options = quiet(1);
  options.callbacks = {recorder};
  by_fit->fit(data, options);
  data::Iterator iterator = data.iterator();
  size_t step = 0;
  for (data::Element batch; iterator.next(batch); ++step) {
    const Batch one{.features = {batch[0]}, .labels = {batch[1]}};
    const auto tested = by_batch->test_on_batch(one);
    const auto trained = by_batch->train_on_batch(one);
    EXPECT_EQ(trained.at("loss"), recorder->losses[step]);
    EXPECT_EQ(tested.at("accuracy"), trained.at("accuracy"));
  }
  EXPECT_EQ(step, 3u);
  EXPECT_TRUE(std::ranges::equal(by_fit->weights().at("dense/kernel").flat<float>(),
                                 by_batch->weights().at("dense/kernel").flat<float>()));
  EXPECT_THAT(error_of([&] {
                by_batch->train_on_batch(
                    {.features = {all.x},
                     .labels = {Tensor::from<int64_t>({48}, std::vector<int64_t>(48, 9))}});
              }),
              testing::HasSubstr("the label 9"));
}

// Two players on one graph: each objective changes its own variables only, by its own optimizer.
TEST(TrainStepTest, EachObjectiveChangesItsOwnVariables) {
  const auto noise = input({2}), real = input({2});
  const auto generator = dense({.units = 2, .name = "generator"});
  const auto judge = dense({.units = 1, .name = "judge"});
  const auto fake = generator(noise);
  Model model({noise, real}, {judge(fake), judge(real)});
  model.build();
  const auto cross_entropy = [](Value logits, double label) {
    return binary_cross_entropy().function(logits, ops::fill_like(logits, label));
  };
  using Values = std::span<const Value>;
  TrainStep step(
      model, {{.name = "judge",
               .loss = [=](Values out,
                           Values) { return cross_entropy(out[0], 0) + cross_entropy(out[1], 1); },
               .optimizer = std::make_shared<Adam>(constant_rate(0.01)),
               .variables = "judge/.*"},
              {.name = "generator",
               .loss = [=](Values out, Values) { return cross_entropy(out[0], 1); },
               .optimizer = std::make_shared<Sgd>(constant_rate(0.1)),
               .variables = "generator/.*"}});
  const Examples all = draw(16);
  data::Element batch = {all.x, Tensor::from<float>({16, 2}, std::vector<float>(32, 1))};
  const auto changed = [&](const std::function<void()>& body) {
    const StateMap before = model.weights();
    body();
    std::set<std::string> names;
    for (const auto& [name, value] : model.weights()) {
      if (!std::ranges::equal(value.flat<float>(), before.at(name).flat<float>())) {
        names.insert(name.substr(0, name.find('/')));
      }
    }
    return names;
  };
  EXPECT_THAT(changed([&] { step.run("judge", batch); }), testing::ElementsAre("judge"));
  EXPECT_THAT(changed([&] { step.run("generator", batch); }), testing::ElementsAre("generator"));
  const std::vector<double> first = step.run(batch);
  std::vector<double> last;
  for (int i = 0; i < 50; ++i) last = {step.run("judge", batch)};
  EXPECT_LT(last[0], first[0]);
  EXPECT_EQ(step.steps("judge"), 52);
  EXPECT_EQ(step.steps("generator"), 2);
}

TEST(TrainStepTest, ObjectivesThatCannotBeAreRefused) {
  const auto x = input({2});
  Model model({x}, {dense({.units = 1, .name = "only"})(x)});
  model.build();
  const auto objective = [](std::string name, std::string variables) {
    return Objective{
        .name = std::move(name),
        .loss = [](std::span<const Value> out, std::span<const Value>) { return out[0]; },
        .optimizer = std::make_shared<Sgd>(),
        .variables = std::move(variables)};
  };
  EXPECT_THAT(error_of([&] { TrainStep(model, {objective("a", "none/.*")}); }),
              testing::HasSubstr("no trainable variable's name matches"));
  EXPECT_THAT(error_of([&] {
                TrainStep(model, {objective("a", "["), objective("b", ".*")});
              }),
              testing::HasSubstr("is no regular expression"));
  EXPECT_THAT(error_of([&] {
                TrainStep(model, {objective("a", ".*"), objective("b", ".*")});
              }),
              testing::HasSubstr("each belongs to one objective"));
}

// By name, or by a map; what was not taken is said.
TEST(LoadWeightsTest, TakesWhatFitsAndReportsTheRest) {
  const auto build = [](const std::string& encoder, int64_t classes) {
    auto model = std::make_unique<Model>();
    model->add<Dense>({.units = 4, .name = encoder});
    model->add<Dense>({.units = classes, .name = "head"});
    model->build(TensorType{DType::kFloat32, {-1, 2}});
    return model;
  };
  const auto from = build("encoder", 3);
  StateMap saved = from->weights();
  saved["encoder/bias"].flat<float>()[0] = 5;
  saved["step"] = Tensor::scalar<int64_t>(7);
  const auto same = build("encoder", 2);
  const LoadReport report = load_weights(*same, saved);
  EXPECT_THAT(report.loaded, testing::ElementsAre("encoder/kernel", "encoder/bias"));
  EXPECT_THAT(report.other_shape, testing::SizeIs(2));
  EXPECT_THAT(report.missing, testing::IsEmpty());
  EXPECT_EQ(same->weights().at("encoder/bias").flat<float>()[0], 5);
  EXPECT_THAT(
      report.to_string(),
      testing::AllOf(testing::HasSubstr("loaded 2 of 4 weights"),
                     testing::HasSubstr("head/kernel (expected f32[4, 2], found f32[4, 3])")));
  const auto mapped = build("body", 3);
  const LoadReport by_map =
      load_weights(*mapped, saved, {.map = {{"body/(.*)", "encoder/$1"}, {"head/.*", ""}}});
  EXPECT_THAT(by_map.loaded, testing::ElementsAre("body/kernel", "body/bias"));
  EXPECT_THAT(by_map.left_out, testing::ElementsAre("head/kernel", "head/bias"));
  EXPECT_THAT(by_map.unused, testing::UnorderedElementsAre("head/kernel", "head/bias"));
  EXPECT_EQ(mapped->weights().at("body/bias").flat<float>()[0], 5);
  EXPECT_THAT(error_of([&] { load_weights(*build("encoder", 2), saved, {.strict = true}); }),
              testing::HasSubstr("strict: every weight must be found"));
  EXPECT_THAT(error_of([&] {
                load_weights(*build("a", 2), {{"z/kernel", saved["head/kernel"]}});
              }),
              testing::HasSubstr("no weight of the model was found"));
}

// A precision where nothing was found is no number; Keras gives 0.
TEST(CountMetricsTest, AFigureOfNothingDoesNotExist) {
  Model model;
  model.add<Dense>({.units = 1, .name = "only"});
  const Loss loss = binary_cross_entropy();
  model.compile(
      {.optimizer = std::make_shared<Sgd>(),
       .loss = loss,
       .metrics = {precision(loss, {.threshold = 1e9}), recall(loss, {.threshold = 1e9})}});
  const data::Dataset data = data::from_tensors({Tensor::from<float>({2, 2}, {1, 2, 3, 4}),
                                                 Tensor::from<float>({2, 1}, {0, 1})},
                                                {"x", "y"})
                                 .batch(2);
  const auto found = model.evaluate(data);
  EXPECT_THAT(found, testing::Not(testing::Contains(testing::Key("precision"))));
  EXPECT_EQ(found.at("recall"), 0);
}

}  // namespace
}  // namespace trireme::nn
