// The loop behind Model::fit. Internal to core/nn.
#pragma once

#include "core/nn/gradient_step.h"
#include "core/nn/model.h"
#include "core/nn/training_details.h"

namespace trireme::nn {

class Trainer : public Training, public TrainingDetails {
 public:
  Trainer(Model& model, const data::Dataset& train, FitOptions options);
  History run();

  Model& model() override { return model_; }
  int64_t step() const override { return progress_.step; }
  int64_t epoch() const override { return progress_.epoch; }
  bool resumed() const override { return options_.resume.has_value() || progress_.step > 0; }
  std::vector<std::string> log_names() const override { return names_; }
  int64_t revision() const override { return revision_; }
  void changed() override { ++revision_; }
  StateMap state() override;
  void restore(const StateMap& state) override;
  void request_stop(const std::string& reason) override;
  const std::string& stop_reason() const override { return stop_reason_; }
  double learning_rate() const override;
  void set_learning_rate(double rate) override;
  std::optional<double> gradient_norm() const override;
  double data_wait_ms() const override;
  int64_t steps_per_epoch() const override { return steps_; }
  int64_t epoch_step() const override { return progress_.epoch_step; }
  int64_t epochs_done() const override { return progress_.epoch; }
  const data::Dataset* validation() const override {
    return options_.validation ? &*options_.validation : nullptr;
  }
  const std::map<std::string, std::vector<double>>& tables() const override {
    return history_.tables;
  }
  StateMap gradients() const override {
    return last_step_ == step_function_.get() ? StateMap() : gradient_step_->gradients();
  }

 private:
  void read_from(const data::Dataset& dataset);
  void go_to(const TrainPlace& place);
  void recover(const Error& error);
  void forget_failed_step();
  void fail();
  void run_epoch();
  bool read_batch();
  void go_back_to_next_batch();
  void run_step();
  StepFunction& choose_step();
  std::span<const Tensor> step_rows() const;
  void end_epoch();
  void stop_in_validation();
  template <typename Method, typename... Args>
  void notify(Method method, Args... args);
  Logs batch_logs();
  Logs running_logs() { return fill_logs(means_); }
  Logs recent_logs();
  Logs fill_logs(const RunningMeans& means);
  void add_figures();
  void keep_tables(const RunningMeans& means, const std::string& prefix);

  Model& model_;
  FitOptions options_;
  TrainingGroup& group_;
  data::Dataset dataset_;
  int64_t steps_ = -1;             // of an epoch; -1: until the data set ends
  bool restart_iterator_ = false;  // each epoch reads the data set from its start
  StepShare share_;
  int64_t next_batch_ = 0;   // position of the batch after the last step that was finished
  int64_t first_epoch_ = 0;  // of this fit()
  std::unique_ptr<StepFunction> step_function_;
  std::unique_ptr<GradientStep> gradient_step_;  // null: nobody has wanted gradients
  std::vector<GradientUser*> gradient_users_;    // among the callbacks
  StepFunction* last_step_ = nullptr;            // that ran last: one of these two
  std::unique_ptr<data::Iterator> iterator_;
  data::Element batch_, ahead_;  // of this step, and the one after it
  bool has_ahead_ = false;
  bool was_ahead_ = false;     // batch_ was ahead_ during the last step
  bool copies_ahead_ = false;  // the session copies ahead_ to a GPU while it computes
  TrainProgress progress_;
  RunningMeans means_{0}, batch_means_{0};  // of the epoch, of the last batch
  std::vector<std::string> names_;          // of logs_
  size_t first_figure_ = 0;                 // of callbacks, among names_
  std::optional<double> rate_;              // that a callback has set
  bool takes_non_finite_ = false;           // a callback does
  std::vector<LogValue> logs_;
  std::optional<Progress> bar_;
  std::string stop_reason_;
  bool stop_ = false;
  bool in_step_ = false;  // an error that comes now leaves the state of the steps before
  int64_t revision_ = 0;
  int64_t steps_with_votes_ = 0;
  // Of this epoch, as far as this process has it: how long it waited for batches, in how many
  // steps.
  double data_wait_s_ = 0;
  int64_t steps_here_ = 0;
  History history_;
};

}  // namespace trireme::nn
