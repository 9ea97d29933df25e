#include "core/nn/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/activity.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/nn/diagnose.h"

namespace trireme::nn {
namespace {

// Of a state: the rate that a callback has set.
constexpr const char* kSetRate = "callback/learning_rate";

// Adds the time until the end of the block.
class WaitTime {
 public:
  explicit WaitTime(double& seconds) : seconds_(seconds) {}
  ~WaitTime() {
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }
  WaitTime(const WaitTime&) = delete;

 private:
  double& seconds_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

Trainer::Trainer(Model& model, const data::Dataset& train, FitOptions options)
    : model_(model),
      options_(std::move(options)),
      group_(options_.group != nullptr ? *options_.group : TrainingGroup::local()),
      dataset_(train) {
  const BatchTypes types = batch_types(train, model_.label_components());
  const int64_t cardinality = train.cardinality();
  if (options_.epochs < 0 || options_.steps_per_epoch < 0) {
    throw invalid_argument("fit: epochs and steps_per_epoch must not be negative");
  }
  if (cardinality == 0) throw invalid_argument("fit: the data set is empty");
  if (options_.steps_per_epoch > 0) {
    steps_ = options_.steps_per_epoch;
  } else if (cardinality == data::kInfinite) {
    throw invalid_argument("fit: the data set is endless; give steps_per_epoch");
  } else if (cardinality >= 0) {
    steps_ = cardinality;
  }
  // A stream of unknown length tells where an epoch ends only by ending.
  restart_iterator_ = steps_ < 0;

  model_.build_training(types);
  for (const std::string& warning : model_.take_warnings()) log_warning(warning);
  step_function_ = std::make_unique<StepFunction>(model_.session(), model_.train_graph());
  last_step_ = step_function_.get();
  copies_ahead_ = model_.session().copies_ahead();
  means_ = running_means(model_.train_graph().forward);
  batch_means_ = means_;
  read_from(train);
  progress_.random_seed = model_.options().seed;
  if (options_.progress) bar_.emplace(*options_.progress);
  names_ = model_.log_names(options_.validation.has_value());
  first_figure_ = names_.size();
  for (const auto& callback : options_.callbacks) {
    const std::vector<std::string> added = callback->figure_names();
    names_.insert(names_.end(), added.begin(), added.end());
    takes_non_finite_ |= callback->takes_non_finite();
    if (auto* user = dynamic_cast<GradientUser*>(callback.get())) gradient_users_.push_back(user);
    if (!callback->needs_gradient_norm() || model_.train_graph().gradient_norm.defined()) continue;
    throw invalid_argument(
        "fit: a callback shows the norm of gradients: expected "
        "CompileOptions::gradient_norm");
  }
  logs_.reserve(names_.size());
  if (options_.resume) {
    restore(*options_.resume);
    first_epoch_ = progress_.epoch;
  }
  if (options_.place) {
    go_to(*options_.place);
    first_epoch_ = progress_.epoch;
  }
}

void Trainer::go_to(const TrainPlace& place) {
  TRIREME_CHECK(steps_ > 0, "there is no place in epochs of unknown length");
  progress_.step = place.step;
  progress_.epoch = place.epoch;
  progress_.epoch_step = place.epoch_step;
  means_.reset();
  has_ahead_ = false;
  iterator_->seek(place.step);
  next_batch_ = iterator_->position();
  changed();
}

void Trainer::read_from(const data::Dataset& dataset) {
  dataset_ = dataset;
  // One iterator for all epochs, so that each is shuffled anew and reading ahead crosses their
  // boundaries.
  if (dataset_.cardinality() != data::kInfinite && !restart_iterator_) dataset_ = dataset.repeat();
  iterator_ = std::make_unique<data::Iterator>(dataset_.iterator());
}

void Trainer::restore(const StateMap& state) {
  model_.restore_variables(state);
  progress_ = load_progress(state);
  if (progress_.random_seed != model_.options().seed) {
    log_warning(str_cat("the checkpoint was written with seed ", progress_.random_seed,
                        ", this model has ", model_.options().seed,
                        ": dropout will differ from a training that was never stopped"));
    progress_.random_seed = model_.options().seed;
  }
  if (!means_.restore(progress_.epoch_sums)) {
    throw invalid_argument("the checkpoint was written with other metrics than this model has: ",
                           progress_.epoch_sums.size(), " numbers for ", means_.size(), " figures");
  }
  has_ahead_ = false;
  iterator_->restore(progress_.dataset_state);
  next_batch_ = iterator_->position();
  rate_.reset();
  if (const auto rate = state.find(kSetRate); rate != state.end()) {
    rate_ = rate->second.item<double>();
  }
  for (const auto& callback : options_.callbacks) callback->restore(state);
  changed();
  // Epochs that this process saw and the training that it goes on from did not finish.
  for (auto& [name, values] : history_.values) {
    const auto finished = static_cast<size_t>(progress_.epoch - first_epoch_);
    if (values.size() > finished) values.resize(finished);
  }
}

StateMap Trainer::state() {
  group_.refresh_variables();
  StateMap state;
  for (const VariableSpec& spec : model_.variables().all()) {
    if (!spec.copy_of.empty()) continue;
    state[spec.name] = model_.session().variables().get(spec.name);
  }
  progress_.epoch_sums = means_.state();
  go_back_to_next_batch();
  progress_.dataset_state = iterator_->state();
  save_progress(progress_, state);
  if (rate_) state[kSetRate] = Tensor::scalar<double>(*rate_);
  for (const auto& callback : options_.callbacks) callback->save(state);
  return state;
}

double Trainer::learning_rate() const {
  return rate_.value_or(model_.compiled().optimizer->learning_rate(progress_.step));
}

void Trainer::set_learning_rate(double rate) {
  if (!(rate >= 0) || !std::isfinite(rate)) {
    throw invalid_argument("a learning rate must be a number of at least 0; found ", rate);
  }
  rate_ = rate;
  changed();
}

std::optional<double> Trainer::gradient_norm() const { return last_step_->gradient_norm(); }

void Trainer::request_stop(const std::string& reason) {
  if (!stop_) stop_reason_ = reason;
  stop_ = true;
}

template <typename Method, typename... Args>
void Trainer::notify(Method method, Args... args) {
  for (const auto& callback : options_.callbacks) (callback.get()->*method)(*this, args...);
}

History Trainer::run() {
  notify(&Callback::on_train_begin);
  while (progress_.epoch < options_.epochs && !stop_) {
    try {
      run_epoch();
    } catch (const Error& error) {
      if (!group_.can_recover_from(error)) {
        fail();
        throw;
      }
      recover(error);
    } catch (const std::exception&) {  // no memory, say
      fail();
      throw;
    }
  }
  group_.refresh_variables();
  notify(&Callback::on_train_end);
  history_.epochs = progress_.epoch;
  history_.steps = progress_.step;
  history_.stop_reason = stop_reason_;
  return history_;
}

void Trainer::run_epoch() {
  if (progress_.epoch_step == 0) {
    means_.reset();
    if (restart_iterator_) iterator_->seek(0, static_cast<uint64_t>(progress_.epoch));
  }
  notify(&Callback::on_epoch_begin);
  if (stop_) return;
  if (bar_) bar_->begin_epoch(progress_.epoch, options_.epochs, steps_, progress_.epoch_step);
  data_wait_s_ = 0;
  steps_here_ = 0;
  while (steps_ < 0 || progress_.epoch_step < steps_) {
    in_step_ = true;
    if (!read_batch()) {
      if (!restart_iterator_) throw invalid_argument("fit: the data set ended within an epoch");
      break;
    }
    run_step();
    if (stop_) break;
  }
  in_step_ = false;
  if (bar_) bar_->set_data_wait(data_wait_s_);
  history_.data_wait_seconds += data_wait_s_;
  // Before anybody reads the model: when all have come here, nobody changes it.
  if (group_.leave_epoch(*this, stop_, means_)) request_stop(kStoppedBySignal);
  if (stop_) {
    if (bar_) bar_->end_epoch(progress_.epoch_step, running_logs());
    return;
  }
  end_epoch();
}

// A step that failed may have taken a batch; it changed nothing else.
void Trainer::forget_failed_step() {
  has_ahead_ = false;
  iterator_->seek(next_batch_);
}

// The error that ends the training counts, not one of those who would save what there is.
void Trainer::fail() {
  if (!in_step_) return;
  try {
    forget_failed_step();
    notify(&Callback::on_failure);
  } catch (const Error& error) {
    log_warning(str_cat("the training that failed could not be saved: ", error.what()));
  }
}

void Trainer::recover(const Error& error) {
  forget_failed_step();
  progress_.dataset_state = iterator_->state();
  FitData data = group_.recover(*this, error);
  options_.validation = std::move(data.validation);
  read_from(data.train);
  iterator_->restore(progress_.dataset_state);
  next_batch_ = iterator_->position();
}

// Where an epoch ends by the end of its data there is no batch after the last.
bool Trainer::read_batch() {
  const ActivityScope reading(Activity::kData);
  const WaitTime waiting(data_wait_s_);
  was_ahead_ = has_ahead_;
  if (has_ahead_) {
    std::swap(batch_, ahead_);
    has_ahead_ = false;
  } else if (!iterator_->next(batch_)) {
    return false;
  }
  const bool is_last = steps_ < 0 || progress_.step + 1 >= options_.epochs * steps_;
  if (is_last || (!group_.reads_ahead() && !copies_ahead_)) return true;
  has_ahead_ = iterator_->next(ahead_);
  if (has_ahead_ && group_.reads_ahead()) group_.peek(progress_.step + 2, ahead_);
  return true;
}

// What was read ahead is read again.
void Trainer::go_back_to_next_batch() {
  if (!has_ahead_) return;
  has_ahead_ = false;
  iterator_->seek(next_batch_);
}

void Trainer::run_step() {
  if (const auto wrong = model_.find_wrong_label(batch_)) {
    throw invalid_argument("step ", progress_.step + 1, " (epoch ", progress_.epoch + 1,
                           "): ", *wrong);
  }
  group_.fill_share(next_batch_, share_);
  const StepInputs inputs{.step = progress_.step,
                          .learning_rate = learning_rate(),
                          .shards = share_.shards,
                          .global_rows = share_.global_rows,
                          .vote = share_.vote};
  {
    const ActivityScope computing(Activity::kStep);
    StepFunction& step = choose_step();
    // What was copied ahead is the other plan's.
    const bool prefetched = was_ahead_ && last_step_ == &step;
    last_step_ = &step;
    step.run(batch_, inputs, has_ahead_ ? &ahead_ : nullptr, prefetched);
  }
  in_step_ = false;  // variables have changed, the progress has not
  const auto values = last_step_->values();
  if (!std::isfinite(values[0]) && !options_.allow_nan && !takes_non_finite_) {
    throw failed("step ", progress_.step + 1, " (epoch ", progress_.epoch + 1, "): the loss is ",
                 values[0], "; ", find_non_finite(model_, dataset_.element_spec(), batch_, inputs));
  }
  means_.add(values, share_.shards.empty() ? last_step_->examples() : share_.examples, step_rows());
  if (last_step_->votes() > 0 && steps_with_votes_++ >= group_.steps_after_vote()) {
    request_stop(kStoppedBySignal);
  }
  ++progress_.step;
  ++progress_.epoch_step;
  ++steps_here_;
  changed();
  next_batch_ = iterator_->position() - (has_ahead_ ? 1 : 0);
  in_step_ = true;
  if (bar_ && bar_->is_due(progress_.epoch_step)) {
    bar_->set_data_wait(data_wait_s_);
    bar_->update(progress_.epoch_step, recent_logs());
  }
  notify(&Callback::on_batch_end, batch_logs());
}

StepFunction& Trainer::choose_step() {
  const bool wanted = std::ranges::any_of(
      gradient_users_, [&](const GradientUser* user) { return user->wants_gradients(*this); });
  if (!wanted) return *step_function_;
  if (!gradient_step_) {
    gradient_step_ = std::make_unique<GradientStep>(model_.session(), model_.train_graph());
  }
  return gradient_step_->function();
}

std::span<const Tensor> Trainer::step_rows() const {
  return last_step_ == step_function_.get() ? step_function_->rows() : gradient_step_->rows();
}

void Trainer::end_epoch() {
  // A loss can stay finite over weights that are not: a rectifier may make 0 of NaN, and the last
  // update has no loss.
  group_.refresh_variables();
  if (!options_.allow_nan && !takes_non_finite_) {
    if (const std::string found = find_non_finite_variable(model_); !found.empty()) {
      throw failed("after step ", progress_.step, " (epoch ", progress_.epoch + 1, "): ", found);
    }
  }
  const int64_t done = progress_.epoch_step;
  std::optional<RunningMeans> validation;
  if (options_.validation) {
    notify(&Callback::on_validation_begin);
    {
      const ActivityScope validating(Activity::kValidation);
      validation = model_.evaluate_means(*options_.validation, group_);
    }
    // The epoch stays open: whoever goes on from here validates first.
    if (!validation) return stop_in_validation();
    const auto loss = validation->value(0);
    if (loss && !std::isfinite(*loss) && !options_.allow_nan) {
      throw failed("the validation after step ", progress_.step, " (epoch ", progress_.epoch + 1,
                   "): the loss is ", *loss,
                   ", though all variables are finite; clean the validation data, or try a lower "
                   "learning rate");
    }
  }
  running_logs();
  for (size_t i = 0; validation && i < validation->size(); ++i) {
    if (!validation->is_table(i)) logs_.push_back({names_[logs_.size()], validation->value(i)});
  }
  add_figures();
  keep_tables(means_, "");
  if (validation) keep_tables(*validation, "val_");
  if (bar_) bar_->end_epoch(done, logs_);
  for (const LogValue& log : logs_) history_.values[std::string(log.name)].push_back(log.value);
  ++progress_.epoch;
  progress_.epoch_step = 0;
  means_.reset();
  changed();
  notify(&Callback::on_epoch_end, Logs(logs_));
}

void Trainer::stop_in_validation() {
  request_stop(kStoppedBySignal);
  if (bar_) bar_->end_epoch(progress_.epoch_step, running_logs());
}

double Trainer::data_wait_ms() const {
  return steps_here_ > 0 ? data_wait_s_ * 1e3 / static_cast<double>(steps_here_) : 0;
}

Logs Trainer::batch_logs() {
  batch_means_.reset();
  batch_means_.add(last_step_->values(), 1, step_rows());
  return fill_logs(batch_means_);
}

Logs Trainer::fill_logs(const RunningMeans& means) {
  logs_.clear();
  for (size_t i = 0; i < means.size(); ++i) {
    if (!means.is_table(i)) logs_.push_back({names_[logs_.size()], means.value(i)});
  }
  return logs_;
}

void Trainer::keep_tables(const RunningMeans& means, const std::string& prefix) {
  for (size_t i = 0; i < means.size(); ++i) {
    if (!means.is_table(i)) continue;
    const auto table = means.table(i);
    history_.tables[prefix + model_.train_graph().forward.metrics[i - 1].name] = {table.begin(),
                                                                                  table.end()};
  }
}

Logs Trainer::recent_logs() {
  logs_.clear();
  for (size_t i = 0; i < means_.size(); ++i) {
    if (!means_.is_table(i)) logs_.push_back({names_[logs_.size()], means_.recent_value(i)});
  }
  add_figures();
  return logs_;
}

void Trainer::add_figures() {
  size_t next = first_figure_;
  for (const auto& callback : options_.callbacks) {
    for (const std::optional<double>& value : callback->figures(*this)) {
      logs_.push_back({names_.at(next++), value});
    }
  }
}

History Model::fit(const data::Dataset& train, FitOptions options) {
  require_compiled();
  return Trainer(*this, train, std::move(options)).run();
}

}  // namespace trireme::nn
