#include "core/nn/callbacks.h"

#include <fstream>
#include <sstream>

#include "core/nn/rate_callbacks.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::unique_ptr<Model> make_model() {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = 3});
  model->compile(classifier(std::make_shared<Sgd>(constant_rate(0.1))));
  return model;
}

data::Dataset make_data() { return clusters(40).shuffle(2).batch(8); }

// A training that does nothing but report what a test tells it.
class FakeTraining : public Training {
 public:
  explicit FakeTraining(Model& model) : model_(model) {}
  Model& model() override { return model_; }
  int64_t step() const override { return 0; }
  int64_t epoch() const override { return epochs; }
  bool resumed() const override { return false; }
  void restore(const StateMap&) override {}
  StateMap state() override { return {}; }
  void request_stop(const std::string& reason) override { reason_ = reason; }
  const std::string& stop_reason() const override { return reason_; }
  std::vector<std::string> log_names() const override { return {"loss", "val_loss"}; }
  int64_t revision() const override { return 0; }
  void changed() override {}
  double learning_rate() const override { return rate; }
  void set_learning_rate(double now) override { rate = now; }
  std::optional<double> gradient_norm() const override { return {}; }

  int64_t epochs = 0;
  double rate = 1;

 private:
  std::string reason_;
  Model& model_;
};

class StateAtEnd : public Callback {
 public:
  void on_train_end(Training& training) override { state = training.state(); }
  StateMap state;
};

// Returns after how many epochs the training was stopped.
int64_t epochs_until_stop(EarlyStopping& callback, FakeTraining& training,
                          std::vector<double> values, std::string_view name = "val_loss") {
  for (double value : values) {
    ++training.epochs;
    const LogValue logs[] = {{"loss", 1}, {name, value}};
    callback.on_epoch_end(training, logs);
    if (!training.stop_reason().empty()) return training.epochs;
  }
  return -1;
}

// The rate after each epoch.
std::vector<double> rates(ReduceLrOnPlateauOptions options, const std::vector<double>& values,
                          std::string_view name = "val_loss") {
  Model model;
  FakeTraining training(model);
  ReduceLrOnPlateau callback(std::move(options));
  std::vector<double> found;
  for (double value : values) {
    ++training.epochs;
    const LogValue logs[] = {{"loss", 1}, {name, value}};
    callback.on_epoch_end(training, logs);
    found.push_back(training.rate);
    // A resumed training goes on the same way.
    StateMap state;
    callback.save(state);
    callback.restore(state);
  }
  return found;
}

// As Keras's: the epochs of a cooldown do not count.
TEST(ReduceLrOnPlateauTest, MultipliesTheRateWhenNothingImproves) {
  EXPECT_THAT(rates({.factor = 0.5, .patience = 2}, {3, 2, 2, 2, 2, 2, 1, 1}),
              ElementsAre(1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25));
  EXPECT_THAT(rates({.factor = 0.5, .patience = 1, .cooldown = 2}, {2, 2, 2, 2, 2, 2}),
              ElementsAre(1, 0.5, 0.5, 0.25, 0.25, 0.125));
  EXPECT_THAT(rates({.factor = 0.5, .patience = 1, .min_delta = 0.5, .min_lr = 0.3}, {2, 1.6, 1.6}),
              ElementsAre(1, 0.5, 0.3));
  EXPECT_THAT(rates({.monitor = "val_accuracy", .factor = 0.5, .patience = 1}, {0.1, 0.2, 0.2},
                    "val_accuracy"),
              ElementsAre(1, 1, 0.5));
}

// The rate and the norm of gradients are columns of the logs, and a rate that was set is one of the
// checkpoint.
TEST(RateCallbacksTest, ShowTheRateAndTheNormAndGoOnFromACheckpoint) {
  const auto train = [](int64_t epochs, std::optional<StateMap> resume, StateMap* state) {
    Model model({.seed = 2});
    model.add<Dense>({.units = 3});
    CompileOptions compile = classifier(std::make_shared<Sgd>(constant_rate(0.25)));
    compile.gradient_norm = true;
    model.compile(std::move(compile));
    FitOptions options = quiet(epochs);
    const auto end = std::make_shared<StateAtEnd>();
    options.callbacks = {std::make_shared<LearningRateScheduler>([](int64_t epoch, double rate) {
                           return epoch == 0 ? rate : rate / 2;
                         }),
                         std::make_shared<LogLearningRate>(), std::make_shared<LogGradientNorm>(),
                         end};
    options.resume = std::move(resume);
    const History history = model.fit(clusters(64).batch(16), options);
    if (state != nullptr) *state = end->state;
    return history.values;
  };
  StateMap state;
  const auto all = train(3, {}, nullptr);
  EXPECT_THAT(all.at("learning_rate"), ElementsAre(0.25, 0.125, 0.0625));
  EXPECT_GT(all.at("gradient_norm")[0].value(), all.at("gradient_norm")[2].value());
  train(2, {}, &state);
  const auto last = train(3, state, nullptr);
  EXPECT_THAT(last.at("learning_rate"), ElementsAre(0.0625));
  EXPECT_EQ(last.at("gradient_norm")[0], all.at("gradient_norm")[2]);
  EXPECT_EQ(last.at("loss")[0], all.at("loss")[2]);
}

TEST(RateCallbacksTest, TheNormIsThatOfAllVariables) {
  Model model;
  model.add<Dense>({.units = 1, .kernel_initializer = zeros()});
  model.compile({.optimizer = std::make_shared<Sgd>(constant_rate(0)),
                 .loss = mean_squared_error(),
                 .gradient_norm = true});
  FitOptions options = quiet(1);
  options.callbacks = {std::make_shared<LogGradientNorm>()};
  // y = 0: the gradient is −2·3 times {2, 1} and 1.
  const data::Dataset one = data::from_tensors(
      {Tensor::from<float>({1, 2}, {2, 1}), Tensor::from<float>({1, 1}, {3})}, {"x", "y"});
  EXPECT_NEAR(model.fit(one.batch(1), options).last("gradient_norm"), 6 * std::sqrt(6), 1e-4);
}

TEST(TerminateOnNanTest, StopsInPlaceOfAnError) {
  const auto train = [](std::vector<std::shared_ptr<Callback>> callbacks) {
    Model model;
    model.add<Dense>({.units = 1});
    model.compile(
        {.optimizer = std::make_shared<Sgd>(constant_rate(1e20)), .loss = mean_squared_error()});
    FitOptions options = quiet(50);
    options.callbacks = std::move(callbacks);
    const data::Dataset one = data::from_tensors(
        {Tensor::from<float>({1, 2}, {2, 1}), Tensor::from<float>({1, 1}, {3})}, {"x", "y"});
    return model.fit(one.batch(1), options);
  };
  EXPECT_THAT(error_of([&] { train({}); }), testing::HasSubstr("the loss is"));
  const History history = train({std::make_shared<TerminateOnNan>()});
  EXPECT_LT(history.steps, 50);
  EXPECT_THAT(history.stop_reason, testing::StartsWith("the loss of step "));
}

TEST(LambdaCallbackTest, CallsTheFunctionsThatAreGiven) {
  Model model;
  model.add<Dense>({.units = 3});
  model.compile(classifier(std::make_shared<Sgd>()));
  std::string events;
  FitOptions options = quiet(1);
  options.callbacks = {std::make_shared<LambdaCallback>(LambdaFunctions{
      .on_train_begin = [&](Training&) { events += "b"; },
      .on_batch_end = [&](Training&, Logs logs) { events += logs[0].name == "loss" ? "s" : "?"; },
      .on_epoch_end = [&](Training&, Logs) { events += "e"; }})};
  model.fit(clusters(32).batch(16), options);
  EXPECT_EQ(events, "bsse");
}

// 0 would count as the best loss there can be.
TEST(EarlyStoppingTest, RefusesAFigureThatDoesNotExist) {
  auto model = make_model();
  FakeTraining training(*model);
  EarlyStopping callback({.patience = 2});
  ++training.epochs;
  const LogValue logs[] = {{"loss", 1}, {"val_loss", std::nullopt}};
  EXPECT_THAT(error_of([&] { callback.on_epoch_end(training, logs); }),
              testing::HasSubstr("epoch 1 has no val_loss: there were no examples"));
}

TEST(EarlyStoppingTest, WaitsForItsPatience) {
  auto model = make_model();
  for (const auto& [patience, expected] :
       {std::pair<int64_t, int64_t>{0, 4}, {1, 4}, {2, 7}, {3, -1}}) {
    FakeTraining training(*model);
    EarlyStopping callback({.patience = patience});
    EXPECT_EQ(epochs_until_stop(callback, training, {5, 4, 3, 3.5, 2, 2, 2.5, 1}), expected)
        << patience;
  }
}

TEST(EarlyStoppingTest, HonoursDirectionAndMinimum) {
  auto model = make_model();
  FakeTraining training(*model);
  EarlyStopping callback(
      {.monitor = "val_accuracy", .patience = 2, .min_delta = 0.01, .higher_is_better = true});
  EXPECT_EQ(epochs_until_stop(callback, training, {.5, .6, .605, .609}, "val_accuracy"), 4);
  EXPECT_THAT(training.stop_reason(),
              HasSubstr("val_accuracy has not improved on 0.6 for 2 epochs"));
}

TEST(EarlyStoppingTest, NamesWhatCanBeMonitored) {
  auto model = make_model();
  EXPECT_THAT(error_of([&] {
                FitOptions options = quiet(1);
                options.callbacks = {std::make_shared<EarlyStopping>(EarlyStoppingOptions{})};
                model->fit(make_data(), options);
              }),
              HasSubstr("no \"val_loss\" to monitor; this training has loss, accuracy"));
}

TEST(EarlyStoppingTest, RestoresTheBestWeights) {
  auto model = make_model();
  model->build({DType::kFloat32, {-1, 2}});
  FakeTraining training(*model);
  EarlyStopping callback({.patience = 1, .restore_best_weights = true});
  const double best = model->weights().at("dense/kernel").as_double(0);
  epochs_until_stop(callback, training, {1});
  StateMap worse = model->weights();
  worse["dense/kernel"] = Tensor::zeros(DType::kFloat32, {2, 3});
  model->set_weights(worse);
  EarlyStopping resumed({.patience = 1, .restore_best_weights = true});
  StateMap state;
  callback.save(state);
  resumed.restore(state);
  ASSERT_EQ(epochs_until_stop(resumed, training, {2}), 2);
  resumed.on_train_end(training);
  EXPECT_EQ(model->weights().at("dense/kernel").as_double(0), best);
}

// Whoever goes on from a state in which others have stopped must stop too, before its next step.
TEST(EarlyStoppingTest, AStateThatHadToStopIsNotTrainedOn) {
  FitOptions options = quiet(9);
  const EarlyStoppingOptions never_better{.monitor = "loss", .patience = 1, .min_delta = 1e9};
  auto state = std::make_shared<StateAtEnd>();
  options.callbacks = {std::make_shared<EarlyStopping>(never_better), state};
  const History first = make_model()->fit(make_data(), options);
  ASSERT_EQ(first.epochs, 2);
  options = quiet(9);
  options.callbacks = {std::make_shared<EarlyStopping>(never_better)};
  options.resume = state->state;
  const History second = make_model()->fit(make_data(), options);
  EXPECT_EQ(second.steps, first.steps);
  EXPECT_EQ(second.stop_reason, first.stop_reason);
}

TEST(CsvLogTest, WritesALineAnEpoch) {
  TemporaryFolder folder;
  FitOptions options = quiet(2);
  options.callbacks = {std::make_shared<CsvLog>(folder / "log.csv")};
  options.validation = make_data();
  const History history = make_model()->fit(make_data(), options);
  std::istringstream lines(read(folder / "log.csv"));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "epoch,loss,accuracy,val_loss,val_accuracy");
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::getline(lines, line);
    int number;
    double loss;
    ASSERT_EQ(std::sscanf(line.c_str(), "%d,%lf,", &number, &loss), 2) << line;
    EXPECT_EQ(number, epoch);
    EXPECT_NEAR(loss, history.values.at("loss")[static_cast<size_t>(epoch)].value(), 1e-7);
  }
  EXPECT_FALSE(std::getline(lines, line));
}

// Epochs after the checkpoint are trained again: their old lines go.
TEST(CsvLogTest, AResumedTrainingHasEachEpochOnce) {
  TemporaryFolder folder;
  const std::string path = folder / "log.csv";
  auto fit = [&](FitOptions options) {
    options.callbacks.push_back(std::make_shared<CsvLog>(path));
    make_model()->fit(make_data(), options);
  };
  FitOptions options = quiet(3);
  auto state = std::make_shared<StateAt>(7);  // in epoch 2
  options.callbacks = {state};
  fit(options);
  const std::string whole = read(path);
  options = quiet(3);
  options.resume = state->state;
  fit(options);
  EXPECT_EQ(read(path), whole);
}

// Workers each have a log and one writes; whoever takes over has all lines.
TEST(CsvLogTest, WhoeverTakesOverWritesACompleteFile) {
  TemporaryFolder folder;
  const std::string path = folder / "log.csv";
  int writer = 0, epochs = 0;
  class Switch : public Callback {
   public:
    Switch(int& writer, int& epochs) : writer_(writer), epochs_(epochs) {}
    void on_epoch_end(Training&, Logs) override {
      if (++epochs_ == 2) writer_ = 1;
    }

   private:
    int& writer_;
    int& epochs_;
  };
  FitOptions options = quiet(4);
  // The switch is first: the one who wrote before has not written the line of epoch 1.
  options.callbacks = {std::make_shared<Switch>(writer, epochs),
                       std::make_shared<CsvLog>(path, [&] { return writer == 0; }),
                       std::make_shared<CsvLog>(path, [&] { return writer == 1; })};
  make_model()->fit(make_data(), options);
  const std::string shared = read(path);
  options = quiet(4);
  options.callbacks = {std::make_shared<CsvLog>(path)};
  make_model()->fit(make_data(), options);
  EXPECT_EQ(shared, read(path));
}

// The state has the lines: a worker that was never there before can go on with the log.
TEST(CsvLogTest, AStateCarriesTheLog) {
  TemporaryFolder folder;
  auto fit = [&](FitOptions options, const std::string& path) {
    options.callbacks.insert(options.callbacks.begin(), std::make_shared<CsvLog>(path));
    make_model()->fit(make_data(), options);
  };
  FitOptions options = quiet(3);
  auto state = std::make_shared<StateAt>(7);  // in epoch 2
  options.callbacks = {state};
  fit(options, folder / "here.csv");
  options = quiet(3);
  options.resume = state->state;
  fit(options, folder / "elsewhere.csv");
  EXPECT_EQ(read(folder / "elsewhere.csv"), read(folder / "here.csv"));
}

// How long data took differs from run to run: the file tells, and a checkpoint stays that of a
// training that nobody interrupted.
TEST(CsvLogTest, DataWaitIsInTheFileAndNotInTheState) {
  TemporaryFolder folder;
  const std::string path = folder / "log.csv";
  auto fit = [&](FitOptions options, bool shows) {
    auto log = std::make_shared<CsvLog>(path);
    if (shows) log->show_data_wait();
    options.callbacks.push_back(std::move(log));
    return make_model()->fit(make_data(), options);
  };
  const auto cells = [&] {
    std::vector<std::string> last;
    std::istringstream lines(read(path));
    for (std::string line; std::getline(lines, line);)
      last.push_back(line.substr(line.rfind(',') + 1));
    return last;
  };
  FitOptions options = quiet(3);
  auto with = std::make_shared<StateAt>(12), without = std::make_shared<StateAt>(12);  // in epoch 3
  options.callbacks = {without};
  fit(options, false);
  options.callbacks = {with};
  const History history = fit(options, true);
  EXPECT_EQ(with->state.at("callback/csv_log/lines").to_string(1000),
            without->state.at("callback/csv_log/lines").to_string(1000));
  const auto whole = cells();
  ASSERT_EQ(whole.size(), 4u);
  EXPECT_EQ(whole[0], "data_wait_ms");
  double sum_ms = 0;
  for (size_t i = 1; i < whole.size(); ++i) sum_ms += std::stod(whole[i]) * 5;  // steps
  EXPECT_NEAR(sum_ms, history.data_wait_seconds * 1e3, 0.01);
  EXPECT_GT(history.data_wait_seconds, 0);
  // A resumed training keeps what it measured before, where the file has it.
  options = quiet(3);
  options.resume = with->state;
  fit(options, true);
  const auto resumed = cells();
  ASSERT_EQ(resumed.size(), 4u);
  EXPECT_EQ(resumed[1], whole[1]);
  EXPECT_EQ(resumed[2], whole[2]);
  std::filesystem::remove(path);
  fit(options, true);
  EXPECT_EQ(cells()[1], "");
}

TEST(CsvLogTest, SaysWhenItCannotWrite) {
  FitOptions options = quiet(1);
  options.callbacks = {std::make_shared<CsvLog>("/nowhere/log.csv")};
  EXPECT_THAT(error_of([&] { make_model()->fit(make_data(), options); }),
              HasSubstr("/nowhere/log.csv: "));
}

std::vector<int64_t> saved_steps(CheckpointCallbackOptions checkpoint, FitOptions options) {
  options.callbacks.push_back(std::make_shared<CheckpointCallback>(checkpoint));
  make_model()->fit(make_data(), options);
  std::vector<int64_t> steps;
  for (const auto& info : io::list_checkpoints(checkpoint.directory)) steps.push_back(info.step);
  return steps;
}

TEST(CheckpointCallbackTest, SavesStepsAndEpochsAndKeepsTheLast) {
  TemporaryFolder folder;  // 5 steps an epoch
  EXPECT_THAT(saved_steps({.directory = folder / "a"}, quiet(2)), ElementsAre(5, 10));
  EXPECT_THAT(saved_steps({.directory = folder / "b", .every_steps = 3}, quiet(2)),
              ElementsAre(3, 5, 6, 9, 10));
  EXPECT_THAT(saved_steps({.directory = folder / "c", .every_steps = 3, .keep_last = 2}, quiet(2)),
              ElementsAre(9, 10));
  EXPECT_THAT(
      saved_steps({.directory = folder / "d", .every_steps = 4, .every_epoch = false}, quiet(2)),
      ElementsAre(4, 8, 10));
}

// Ctrl-C: the step is finished, the checkpoint is written, fit returns.
TEST(StopFlagTest, StopsAfterTheStepAndKeepsACheckpoint) {
  TemporaryFolder folder;
  std::atomic<bool> flag = false;
  class Raise : public Callback {
   public:
    explicit Raise(std::atomic<bool>& flag) : flag_(flag) {}
    void on_batch_end(Training& training, Logs) override { flag_ = training.step() == 3; }

   private:
    std::atomic<bool>& flag_;
  };
  FitOptions options = quiet(2);
  options.callbacks = {std::make_shared<Raise>(flag), std::make_shared<StopFlag>(&flag)};
  EXPECT_THAT(saved_steps({.directory = folder / "a"}, options), ElementsAre(3));
}

}  // namespace
}  // namespace trireme::nn
