#include "core/nn/tensorboard.h"

#include <filesystem>

#include "core/io/event_reader.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TensorBoardTest : public ::testing::Test {
 protected:
  std::string folder(const std::string& run) const { return folder_ / run; }
  io::RunScalars scalars(const std::string& run) const { return io::read_scalars(folder(run)); }
  TensorBoardOptions options() const {
    TensorBoardOptions options;
    options.log_dir = folder_ / "";
    return options;
  }

  TemporaryFolder folder_;
};

std::unique_ptr<Model> make_model() {
  auto model = std::make_unique<Model>(ModelOptions{.seed = 2});
  model->add<Dense>({.units = 3});
  CompileOptions compile = classifier(std::make_shared<Sgd>(constant_rate(0.25)));
  compile.gradient_norm = true;
  model->compile(std::move(compile));
  return model;
}
data::Dataset make_data() { return clusters(40).shuffle(2).batch(8); }

struct EndState : Callback {
  void on_train_end(Training& training) override { state = training.state(); }
  StateMap state;
};

std::vector<int64_t> steps_of(const io::RunScalars& run, const std::string& tag) {
  std::vector<int64_t> steps;
  if (const auto found = run.tags.find(tag); found != run.tags.end()) {
    for (const io::ScalarPoint& point : found->second) steps.push_back(point.step);
  }
  return steps;
}
std::vector<double> values_of(const io::RunScalars& run, const std::string& tag) {
  std::vector<double> values;
  if (const auto found = run.tags.find(tag); found != run.tags.end()) {
    for (const io::ScalarPoint& point : found->second) values.push_back(point.value);
  }
  return values;
}

// Tags, folders and axes are those that users of Keras know.
TEST_F(TensorBoardTest, WritesKerasTagsOfEpochsAndSteps) {
  auto model = make_model();
  FitOptions fit = quiet(3);
  fit.validation = make_data();
  TensorBoardOptions wanted = options();
  wanted.update_freq = 2;
  wanted.gradient_norm = true;
  wanted.write_steps_per_second = true;
  fit.callbacks = {std::make_shared<TensorBoard>(wanted)};
  const History history = model->fit(make_data(), fit);
  const io::RunScalars train = scalars("train"), validation = scalars("validation");
  EXPECT_THAT(steps_of(train, "epoch_loss"), ElementsAre(0, 1, 2));
  EXPECT_THAT(steps_of(train, "batch_loss"), ElementsAre(2, 4, 6, 8, 10, 12, 14));
  EXPECT_THAT(steps_of(train, "batch_gradient_norm"), ElementsAre(2, 4, 6, 8, 10, 12, 14));
  EXPECT_THAT(steps_of(validation, "evaluation_loss_vs_iterations"), ElementsAre(5, 10, 15));
  EXPECT_THAT(values_of(train, "epoch_learning_rate"), ElementsAre(0.25, 0.25, 0.25));
  EXPECT_EQ(steps_of(train, "epoch_steps_per_second").size(), 3u);
  for (size_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(values_of(train, "epoch_loss")[epoch],
              static_cast<float>(*history.values.at("loss")[epoch]));
    EXPECT_EQ(values_of(validation, "epoch_accuracy")[epoch],
              static_cast<float>(*history.values.at("val_accuracy")[epoch]));
  }
}

// A training that goes on shows each step and each epoch once, whatever was written before.
TEST_F(TensorBoardTest, AResumedTrainingShowsEachStepOnce) {
  const auto train = [&](int64_t epochs, std::optional<StateMap> resume, StateMap* state) {
    auto model = make_model();
    FitOptions fit = quiet(epochs);
    fit.validation = make_data();
    fit.resume = std::move(resume);
    const auto end = std::make_shared<EndState>();
    TensorBoardOptions wanted = options();
    wanted.update_freq = 1;
    fit.callbacks = {std::make_shared<TensorBoard>(wanted), end};
    model->fit(make_data(), fit);
    if (state != nullptr) *state = end->state;
  };
  StateMap after_two;
  train(2, std::nullopt, &after_two);
  train(4, after_two, nullptr);
  train(3, after_two, nullptr);
  EXPECT_EQ(steps_of(scalars("train"), "batch_loss").size(), 15u);
  EXPECT_EQ(steps_of(scalars("train"), "batch_loss").back(), 15);
  EXPECT_THAT(steps_of(scalars("train"), "epoch_loss"), ElementsAre(0, 1, 2));
  EXPECT_THAT(steps_of(scalars("validation"), "epoch_loss"), ElementsAre(0, 1, 2));
  EXPECT_THAT(steps_of(scalars("validation"), "evaluation_loss_vs_iterations"),
              ElementsAre(5, 10, 15));
}

// Keeps the loss and the weights of each step, and the gradients of those that have them.
struct GradientRecorder : Callback, GradientUser {
  explicit GradientRecorder(bool asks) : asks_(asks) {}
  bool wants_gradients(const TrainingDetails& training) const override {
    return asks_ && training.epoch_step() == training.steps_per_epoch() - 1;
  }
  void on_batch_end(Training& training, Logs logs) override {
    losses.push_back(*logs[0].value);
    weights.push_back(training.model().weights());
    gradients.push_back(dynamic_cast<TrainingDetails&>(training).gradients());
  }
  std::vector<double> losses;
  std::vector<StateMap> weights, gradients;

 private:
  bool asks_;
};

// A step whose gradients are looked at must be the step that it was.
TEST_F(TensorBoardTest, LookingAtGradientsChangesNothing) {
  const auto train = [](bool asks) {
    auto model = make_model();
    FitOptions fit = quiet(2);
    const auto recorder = std::make_shared<GradientRecorder>(asks);
    fit.callbacks = {recorder};
    model->fit(make_data(), fit);
    return recorder;
  };
  const auto with = train(true), without = train(false);
  EXPECT_EQ(with->losses, without->losses);
  for (size_t step = 0; step < with->losses.size(); ++step) {
    EXPECT_EQ(with->gradients[step].size(), step % 5 == 4 ? 2u : 0u);
    EXPECT_TRUE(without->gradients[step].empty());
    for (const auto& [name, gradient] : with->gradients[step]) {
      const auto before = with->weights[step - 1].at(name).flat<float>();
      const auto after = with->weights[step].at(name).flat<float>();
      for (size_t i = 0; i < before.size(); ++i) {
        EXPECT_NEAR(before[i] - after[i], 0.25 * gradient.flat<float>()[i], 1e-6) << name;
      }
    }
  }
}

TEST_F(TensorBoardTest, WritesHistogramsOfWeightsAndGradients) {
  auto model = make_model();
  FitOptions fit = quiet(3);
  TensorBoardOptions wanted = options();
  wanted.histogram_freq = 2;
  fit.callbacks = {std::make_shared<TensorBoard>(wanted)};
  model->fit(make_data(), fit);
  std::map<std::string, std::vector<int64_t>> steps;
  for (const std::string& path : io::event_files(folder("train"))) {
    io::EventReader reader(path);
    for (io::Event event; reader.next(event);) {
      if (event.kind != io::Event::Kind::kSummary) continue;
      io::EventValues values(event.body);
      for (io::EventValue value; values.next(value);) {
        if (value.plugin != "histograms") continue;
        steps[std::string(value.tag)].push_back(event.step);
        double count = 0;
        const std::vector<double> numbers = io::parse_event_tensor(value.tensor).numbers;
        for (size_t i = 2; i < numbers.size(); i += 3) count += numbers[i];
        EXPECT_EQ(count, std::string(value.tag).find("bias") == std::string::npos ? 6 : 3);
      }
    }
  }
  EXPECT_EQ(steps.size(), 4u);
  for (const auto& [tag, found] : steps) EXPECT_THAT(found, ElementsAre(0, 2)) << tag;
}

TEST_F(TensorBoardTest, SaysThatItNeedsAFolder) {
  auto model = make_model();
  FitOptions fit = quiet(1);
  fit.callbacks = {std::make_shared<TensorBoard>()};
  EXPECT_THAT(error_of([&] { model->fit(make_data(), fit); }), HasSubstr("expected log_dir"));
}

// Of several workers one writes; the others only where they are asked to, apart from it.
TEST_F(TensorBoardTest, OtherWorkersWriteOnlyWhereTheyAreAsked) {
  for (const bool all_ranks : {false, true}) {
    auto model = make_model();
    FitOptions fit = quiet(1);
    TensorBoardOptions wanted = options();
    wanted.all_ranks = all_ranks;
    const auto board = std::make_shared<TensorBoard>(wanted);
    board->set_writes([] { return false; });
    board->set_run({.rank = [] { return 1; }});
    fit.callbacks = {board};
    model->fit(make_data(), fit);
    EXPECT_FALSE(std::filesystem::exists(folder("train")));
    EXPECT_EQ(steps_of(scalars("rank_1/train"), "epoch_loss").size(), all_ranks ? 1u : 0u);
  }
}

}  // namespace
}  // namespace trireme::nn
