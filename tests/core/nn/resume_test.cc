// Training that was stopped and resumed gives, bit for bit, what training never stopped gives.
#include "core/nn/train_state.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

std::unique_ptr<Model> make_model(int64_t units = 16) {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = units, .activation = Activation::kRelu}).add<BatchNorm>();
  model->add<Dropout>({.rate = 0.3}).add<Dense>({.units = 3});
  model->compile(classifier(std::make_shared<Adam>(cosine_rate(0.05, 40))));
  return model;
}

// 100 examples in batches of 16: 7 steps an epoch, the last one smaller.
data::Dataset make_data() { return clusters(100).shuffle(7).batch(16).prefetch(2); }

struct Outcome {
  std::vector<double> losses;
  History history;
  StateMap weights;
};

Outcome train(FitOptions options, std::shared_ptr<Callback> extra = nullptr) {
  auto model = make_model();
  auto recorder = std::make_shared<LossRecorder>();
  options.callbacks.push_back(recorder);
  if (extra) options.callbacks.push_back(extra);
  Outcome run;
  run.history = model->fit(make_data(), options);
  run.losses = recorder->losses;
  run.weights = model->weights();
  return run;
}

void expect_same_bits(const StateMap& a, const StateMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_EQ(std::memcmp(tensor.raw(), b.at(name).raw(), tensor.bytes()), 0) << name;
  }
}

class ResumeTest : public testing::TestWithParam<int64_t> {};

TEST_P(ResumeTest, ContinuesBitForBit) {
  const int64_t stop_at = GetParam();
  const Outcome whole = train(quiet(3));
  ASSERT_EQ(whole.losses.size(), 21u);

  auto stop = std::make_shared<StateAt>(stop_at, true);
  Outcome first = train(quiet(3), stop);
  ASSERT_EQ(first.losses.size(), static_cast<size_t>(stop_at));
  EXPECT_EQ(first.history.stop_reason, "the test asked for it");

  FitOptions options = quiet(3);
  options.resume = stop->state;
  const Outcome rest = train(options);
  std::vector<double> losses = first.losses;
  losses.insert(losses.end(), rest.losses.begin(), rest.losses.end());
  EXPECT_EQ(losses, whole.losses);
  // The means of the epoch that was interrupted, too.
  EXPECT_EQ(rest.history.last("loss"), whole.history.last("loss"));
  const auto& epochs = whole.history.values.at("loss");
  const auto& resumed = rest.history.values.at("loss");
  EXPECT_EQ(resumed,
            std::vector(epochs.end() - static_cast<std::ptrdiff_t>(resumed.size()), epochs.end()));
  expect_same_bits(rest.weights, whole.weights);
}

// In the first step, within epochs, and at both sides of an epoch's end.
INSTANTIATE_TEST_SUITE_P(Steps, ResumeTest, testing::Values(1, 4, 6, 7, 8, 14, 20));

TEST(ResumeStateTest, GoesThroughACheckpointOnDisk) {
  TemporaryFolder folder;
  const Outcome whole = train(quiet(3));
  train(quiet(1),
        std::make_shared<CheckpointCallback>(CheckpointCallbackOptions{.directory = folder / "c"}));
  FitOptions options = quiet(3);
  options.resume = io::load_checkpoint(folder / "c");
  const Outcome rest = train(options);
  EXPECT_EQ(rest.losses, std::vector<double>(whole.losses.begin() + 7, whole.losses.end()));
  expect_same_bits(rest.weights, whole.weights);
}

TEST(ResumeStateTest, AFinishedTrainingHasNothingLeft) {
  auto state = std::make_shared<StateAt>(7);
  FitOptions options = quiet(1);
  TemporaryFolder folder;
  train(options,
        std::make_shared<CheckpointCallback>(CheckpointCallbackOptions{.directory = folder / "c"}));
  options.resume = io::load_checkpoint(folder / "c");
  const Outcome rest = train(options);
  EXPECT_TRUE(rest.losses.empty());
  EXPECT_EQ(rest.history.steps, 7);
}

TEST(ResumeStateTest, ACheckpointOfAnotherModelNamesWhatDiffers) {
  auto state = std::make_shared<StateAt>(1, true);
  train(quiet(1), state);
  auto other = make_model(8);
  FitOptions options = quiet(1);
  options.resume = state->state;
  EXPECT_THAT(error_of([&] { other->fit(make_data(), options); }),
              testing::AllOf(HasSubstr("the checkpoint is of another model"),
                             HasSubstr("\"dense/kernel\" (expected f32[2, 8], found f32[2, 16])"),
                             HasSubstr(" more")));
}

TEST(ResumeStateTest, AnotherOptimizerIsAnotherModel) {
  auto state = std::make_shared<StateAt>(1, true);
  train(quiet(1), state);
  Model model;
  model.add<Dense>({.units = 16, .activation = Activation::kRelu}).add<BatchNorm>();
  model.add<Dropout>({.rate = 0.3}).add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Adagrad>()));
  FitOptions options = quiet(1);
  options.resume = state->state;
  EXPECT_THAT(
      error_of([&] { model.fit(make_data(), options); }),
      HasSubstr(
          "\"optimizer/adagrad/accumulator/dense/kernel\" (expected f32[2, 16], found nothing)"));
}

TEST(ResumeStateTest, DamagedProgressIsDataLoss) {
  auto at = std::make_shared<StateAt>(1, true);
  train(quiet(1), at);
  auto error_with = [&](const std::string& name, const Tensor& value) {
    StateMap state = at->state;
    state[name] = value;
    return error_of([&] { load_progress(state); });
  };
  EXPECT_THAT(error_with("step", Tensor::scalar<int64_t>(-1)),
              HasSubstr("\"step\": expected a count"));
  EXPECT_THAT(error_with("epoch", Tensor::scalar<float>(1)),
              HasSubstr("\"epoch\": expected i64[]"));
  EXPECT_THAT(error_of([] { load_progress({}); }), HasSubstr("holds no \"step\""));
}

}  // namespace
}  // namespace trireme::nn
