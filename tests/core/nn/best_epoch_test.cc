// The best epoch is what is kept and restored; what a validation interrupts is not lost.
#include <fstream>

#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Model> make_model() {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = 3});
  model->compile(classifier(std::make_shared<Adam>(constant_rate(0.1))));
  return model;
}

// 5 steps an epoch.
data::Dataset make_data() { return clusters(40).shuffle(2).batch(8); }

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<float> kernel(const StateMap& state) {
  const auto values = state.at("dense/kernel").flat<float>();
  return {values.begin(), values.end()};
}

// Keeps the kernel as each epoch left it.
class KernelRecorder : public Callback {
 public:
  void on_epoch_end(Training& training, Logs) override {
    kernels.push_back(kernel(training.model().weights()));
  }
  std::vector<std::vector<float>> kernels;
};

// The loss falls from epoch to epoch, so that with `higher_is_better` the first one stays the best.
EarlyStoppingOptions first_is_best(int64_t patience) {
  return {.monitor = "loss",
          .patience = patience,
          .higher_is_better = true,
          .restore_best_weights = true};
}

struct Fitted {
  History history;
  std::vector<std::vector<float>> kernels;  // of each epoch
  std::vector<float> kernel_at_end;
  BestEpoch best;
  bool restored = false;
};

// With CsvLog, EarlyStopping and a CheckpointCallback that keeps one, in `folder`.
Fitted fit(const TemporaryFolder& folder, EarlyStoppingOptions monitored, FitOptions options,
           std::vector<std::shared_ptr<Callback>> more = {}) {
  auto early = std::make_shared<EarlyStopping>(monitored);
  auto recorder = std::make_shared<KernelRecorder>();
  options.callbacks = std::move(more);
  options.callbacks.insert(options.callbacks.end(),
                           {recorder, std::make_shared<CsvLog>(folder / "log.csv"), early,
                            std::make_shared<CheckpointCallback>(CheckpointCallbackOptions{
                                .directory = folder / "c", .keep_last = 1, .best = [early] {
                                  return BestCheckpoint{early->best().step, early->restored()};
                                }})});
  auto model = make_model();
  Fitted run;
  run.history = model->fit(make_data(), std::move(options));
  run.kernels = recorder->kernels;
  run.kernel_at_end = kernel(model->weights());
  run.best = early->best();
  run.restored = early->restored();
  return run;
}

std::vector<int64_t> steps_in(const TemporaryFolder& folder) {
  std::vector<int64_t> steps;
  for (const auto& info : io::list_checkpoints(folder / "c")) steps.push_back(info.step);
  return steps;
}

// A monitored best that is rotated away cannot be gone back to.
TEST(BestEpochTest, ItsCheckpointOutlivesNewerOnesAndAResume) {
  TemporaryFolder folder;
  const Fitted first = fit(folder, first_is_best(100), quiet(3));
  EXPECT_THAT(steps_in(folder), ElementsAre(5, 15));
  FitOptions options = quiet(6);
  options.resume = io::load_checkpoint(folder / "c");
  const Fitted second = fit(folder, first_is_best(100), std::move(options));
  EXPECT_THAT(steps_in(folder), ElementsAre(5, 30));
  EXPECT_EQ(io::CheckpointManager(folder / "c").best()->step, 5);
  EXPECT_EQ(second.best.epoch, 1);
  EXPECT_EQ(kernel(io::load_checkpoint(folder / "c/ckpt-5")), first.kernels[0]);
}

// What evaluate and predict load is the newest checkpoint, not what was in memory.
TEST(BestEpochTest, RestoredWeightsAreSavedAsTheNewestCheckpoint) {
  for (const auto& [patience, epochs] : {std::pair<int64_t, int64_t>{2, 9}, {100, 3}}) {
    TemporaryFolder folder;
    const Fitted run = fit(folder, first_is_best(patience), quiet(epochs));
    EXPECT_EQ(run.history.stop_reason.empty(), patience == 100);  // stopped, or all epochs done
    ASSERT_EQ(run.history.epochs, 3);
    EXPECT_NE(run.kernels[0], run.kernels[2]);
    EXPECT_EQ(run.kernel_at_end, run.kernels[0]);
    EXPECT_EQ(kernel(io::load_checkpoint(folder / "c")), run.kernels[0]);
    EXPECT_EQ(io::list_checkpoints(folder / "c").back().step, 15);
    EXPECT_TRUE(run.restored);
    EXPECT_EQ(run.best.logs.at("loss"), run.history.values.at("loss")[0]);
  }
}

TEST(BestEpochTest, AFinishedTrainingThatIsResumedKeepsWhatItRestored) {
  TemporaryFolder folder;
  const Fitted run = fit(folder, first_is_best(2), quiet(9));
  FitOptions options = quiet(9);
  options.resume = io::load_checkpoint(folder / "c");
  const Fitted again = fit(folder, first_is_best(2), std::move(options));
  EXPECT_EQ(again.history.steps, run.history.steps);
  EXPECT_EQ(again.history.stop_reason, run.history.stop_reason);
  EXPECT_TRUE(again.restored);
  EXPECT_EQ(again.best.logs, run.best.logs);
  EXPECT_EQ(kernel(io::load_checkpoint(folder / "c")), run.kernels[0]);
}

// What another monitor, or a run without restore_best, left in the checkpoint is no best epoch of
// this one.
TEST(BestEpochTest, OfAnotherMonitorItIsForgotten) {
  TemporaryFolder folder;
  fit(folder, first_is_best(100), quiet(3));
  const StateMap saved = io::load_checkpoint(folder / "c/ckpt-15");
  const auto resumed = [&](EarlyStoppingOptions monitored) {
    FitOptions options = quiet(4);
    options.resume = saved;
    return fit(folder, monitored, std::move(options));
  };
  // The accuracy's best is looked for among the epochs that follow.
  EXPECT_EQ(resumed({.monitor = "accuracy", .patience = 100, .higher_is_better = true}).best.epoch,
            4);
  EarlyStoppingOptions no_restore = first_is_best(100);
  no_restore.restore_best_weights = false;
  const Fitted kept = resumed(no_restore);
  EXPECT_EQ(kept.best.epoch, 1);
  EXPECT_FALSE(kept.restored);
  EXPECT_EQ(kept.kernel_at_end, kept.kernels.back());
  // ckpt-20 has no weights of its best epoch.
  FitOptions options = quiet(6);
  options.resume = io::load_checkpoint(folder / "c");
  const Fitted anew = fit(folder, first_is_best(100), std::move(options));
  EXPECT_EQ(anew.best.epoch, 5);
  EXPECT_EQ(anew.kernel_at_end, anew.kernels[0]);
}

// A training that a signal ends is resumed from where it was, not from its best epoch.
TEST(BestEpochTest, AnInterruptionRestoresNothing) {
  class StopAt : public Callback {
   public:
    explicit StopAt(std::string reason) : reason_(std::move(reason)) {}
    void on_batch_end(Training& training, Logs) override {
      if (training.step() == 12) training.request_stop(reason_);
    }

   private:
    std::string reason_;
  };
  for (const char* reason : {kStoppedBySignal, "the other workers are lost"}) {
    TemporaryFolder folder;
    const Fitted run =
        fit(folder, first_is_best(100), quiet(3), {std::make_shared<StopAt>(reason)});
    EXPECT_FALSE(run.restored);
    EXPECT_NE(run.kernel_at_end, run.kernels[0]);
    EXPECT_EQ(kernel(io::load_checkpoint(folder / "c")), run.kernel_at_end);
  }
}

FitOptions validating(int64_t epochs) {
  FitOptions options = quiet(epochs);
  options.validation = clusters(64, 3, 9).batch(8);
  return options;
}

constexpr EarlyStoppingOptions kWatch{.monitor = "val_loss", .patience = 100};

class EpochCounter : public Callback {
 public:
  void on_epoch_end(Training&, Logs) override { ++ends; }
  int ends = 0;
};

// Told to stop in its second validation.
class StopsInValidation : public TrainingGroup {
 public:
  bool interrupts_validation(int64_t batch) override {
    if (batch == 0) ++validations_;
    return validations_ == 2 && batch == 4;
  }

 private:
  int validations_ = 0;
};

// The epoch that was being validated is neither lost nor counted twice.
TEST(InterruptedValidationTest, TheResumedTrainingHasTheLogOfOneThatWasNot) {
  TemporaryFolder whole, cut;
  const Fitted undisturbed = fit(whole, kWatch, validating(3));
  auto counter = std::make_shared<EpochCounter>();
  StopsInValidation group;
  FitOptions options = validating(3);
  options.group = &group;
  const Fitted first = fit(cut, kWatch, std::move(options), {counter});
  EXPECT_EQ(first.history.stop_reason, kStoppedBySignal);
  EXPECT_EQ(first.history.epochs, 1);
  EXPECT_EQ(first.history.steps, 10);
  EXPECT_EQ(counter->ends, 1);

  options = validating(3);
  options.resume = io::load_checkpoint(cut / "c");
  const Fitted second = fit(cut, kWatch, std::move(options), {counter});
  EXPECT_EQ(counter->ends, 3);
  EXPECT_EQ(read(cut / "log.csv"), read(whole / "log.csv"));
  EXPECT_EQ(second.kernel_at_end, undisturbed.kernel_at_end);
  EXPECT_EQ(second.best.step, undisturbed.best.step);
}

// Nobody asks a crash: the epoch must be on the disk before its validation begins.
TEST(InterruptedValidationTest, AnErrorInTheValidationLosesNothing) {
  TemporaryFolder whole, cut;
  fit(whole, kWatch, validating(1));
  FitOptions options = quiet(1);
  options.validation = data::from_function(
      {{"point", DType::kFloat32, Shape({8, 2})}, {"label", DType::kInt64, Shape({8})}}, 2,
      [](int64_t index, data::Element& out) {
        if (index == 1) throw data_loss("validation.csv:99: damaged");
        out = {Tensor::zeros(DType::kFloat32, {8, 2}), Tensor::zeros(DType::kInt64, {8})};
      });
  EXPECT_THAT(error_of([&] { fit(cut, kWatch, std::move(options)); }), HasSubstr("damaged"));
  EXPECT_THAT(steps_in(cut), ElementsAre(5));
  options = validating(1);
  options.resume = io::load_checkpoint(cut / "c");
  fit(cut, kWatch, std::move(options));
  EXPECT_EQ(read(cut / "log.csv"), read(whole / "log.csv"));
}

// Found after an epoch, it costs that epoch.
TEST(EarlyStoppingTest, AMisspeltNameIsFoundBeforeTheFirstStep) {
  TemporaryFolder folder;
  auto losses = std::make_shared<LossRecorder>();
  EXPECT_THAT(error_of([&] { fit(folder, {.monitor = "val_los"}, validating(2), {losses}); }),
              HasSubstr("no \"val_los\" to monitor; this training has loss, accuracy, val_loss, "
                        "val_accuracy"));
  EXPECT_TRUE(losses->losses.empty());
}

}  // namespace
}  // namespace trireme::nn
