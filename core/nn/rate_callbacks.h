// Callbacks that change or show the learning rate, show the norm of gradients, end a training whose
// loss is no number; and one that is made of functions.
//
// Decisions follow from the logs of an epoch, which all workers see alike.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/callbacks.h"

namespace trireme::nn {

struct ReduceLrOnPlateauOptions {
  std::string monitor = "val_loss";
  double factor = 0.1;
  int64_t patience = 10;  // epochs without improvement after which the rate is multiplied
  enum class Mode { kAuto, kMin, kMax } mode = Mode::kAuto;  // kAuto: by the name
  double min_delta = 1e-4;
  int64_t cooldown = 0;  // epochs after that which do not count
  double min_lr = 0;

  void describe(OptionVisitor& visitor);
};
// As Keras's. The optimizer has no schedule.
class ReduceLrOnPlateau : public Callback {
 public:
  explicit ReduceLrOnPlateau(ReduceLrOnPlateauOptions options = {});
  void describe(OptionVisitor& visitor) override { options_.describe(visitor); }
  void on_train_begin(Training& training) override;
  void on_epoch_end(Training& training, Logs logs) override;
  void save(StateMap& state) const override;
  void restore(const StateMap& state) override;

 private:
  bool higher_is_better() const;
  std::string key(const std::string& name) const;

  ReduceLrOnPlateauOptions options_;
  std::optional<double> best_;
  int64_t waited_ = 0, cooling_ = 0;
};

// The rate of each epoch: `rate(epoch, rate so far)`, epochs counted from 0.
class LearningRateScheduler : public Callback {
 public:
  using Rate = std::function<double(int64_t epoch, double rate)>;
  explicit LearningRateScheduler(Rate rate) : rate_(std::move(rate)) {}
  void on_epoch_begin(Training& training) override {
    training.set_learning_rate(rate_(training.epoch(), training.learning_rate()));
  }

 private:
  Rate rate_;
};

// "learning_rate": of the step after those of the epoch so far.
class LogLearningRate : public Callback {
 public:
  std::vector<std::string> figure_names() const override { return {"learning_rate"}; }
  std::vector<std::optional<double>> figures(const Training& training) const override {
    return {training.learning_rate()};
  }
};

// "gradient_norm": the mean over the steps of an epoch.
class LogGradientNorm : public Callback {
 public:
  std::vector<std::string> figure_names() const override { return {"gradient_norm"}; }
  std::vector<std::optional<double>> figures(const Training& training) const override;
  bool needs_gradient_norm() const override { return true; }
  void on_epoch_begin(Training& training) override;
  void on_batch_end(Training& training, Logs logs) override;
  void save(StateMap& state) const override;
  void restore(const StateMap& state) override;

 private:
  double sum_ = 0;
  int64_t steps_ = 0, epoch_ = 0;
};

// Ends the training after the step whose loss is no finite number, where that would be an error.
class TerminateOnNan : public Callback {
 public:
  bool takes_non_finite() const override { return true; }
  void on_batch_end(Training& training, Logs logs) override;
};

// What is empty is not called.
struct LambdaFunctions {
  using Event = std::function<void(Training& training)>;
  using LogEvent = std::function<void(Training& training, Logs logs)>;
  Event on_train_begin, on_epoch_begin, on_validation_begin, on_train_end;
  LogEvent on_batch_end, on_epoch_end;
};
class LambdaCallback : public Callback {
 public:
  explicit LambdaCallback(LambdaFunctions functions) : functions_(std::move(functions)) {}
  void on_train_begin(Training& t) override { call(functions_.on_train_begin, t); }
  void on_epoch_begin(Training& t) override { call(functions_.on_epoch_begin, t); }
  void on_batch_end(Training& t, Logs logs) override { call(functions_.on_batch_end, t, logs); }
  void on_validation_begin(Training& t) override { call(functions_.on_validation_begin, t); }
  void on_epoch_end(Training& t, Logs logs) override { call(functions_.on_epoch_end, t, logs); }
  void on_train_end(Training& t) override { call(functions_.on_train_end, t); }

 private:
  template <typename Function, typename... Args>
  static void call(const Function& function, Training& training, Args... args) {
    if (function) function(training, args...);
  }
  LambdaFunctions functions_;
};

void register_rate_callbacks(Catalog<Callback>& catalog);

}  // namespace trireme::nn
