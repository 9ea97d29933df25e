// The loop behind Model::fit. Internal to core/nn.
#pragma once

#include "core/nn/model.h"

namespace trireme::nn {

class Trainer : public Training {
 public:
  Trainer(Model& model, const data::Dataset& train, FitOptions options);
  History run();

  Model& model() override { return model_; }
  int64_t step() const override { return progress_.step; }
  int64_t epoch() const override { return progress_.epoch; }
  bool resumed() const override { return options_.resume.has_value(); }
  StateMap state() override;
  void request_stop(const std::string& reason) override;

 private:
  void name_logs();
  void resume();
  void run_epoch();
  void run_step();
  void end_epoch();
  template <typename Method, typename... Args>
  void notify(Method method, Args... args);
  Logs batch_logs() { return fill_logs(step_function_->values()); }
  Logs fill_logs(std::span<const double> values);
  Logs running_logs();

  Model& model_;
  FitOptions options_;
  data::Dataset dataset_;
  int64_t steps_ = -1;             // of an epoch; -1: until the data set ends
  bool restart_iterator_ = false;  // each epoch reads the data set from its start
  std::unique_ptr<StepFunction> step_function_;
  std::unique_ptr<data::Iterator> iterator_;
  data::Element batch_;
  TrainProgress progress_;
  RunningMeans means_{0};
  std::vector<std::string> names_;  // loss, metrics, then the same of the validation
  std::vector<LogValue> logs_;
  std::optional<Progress> bar_;
  std::string stop_reason_;
  bool stop_ = false;
  History history_;
};

}  // namespace trireme::nn
