// Callbacks: what happens beside the steps of training.
//
// Called on the thread that trains, in the order in which they were given. An Error ends the
// training. Of several workers each has its own, which see the same steps and epochs.
//
// To add one that job files name: derive a class that can be made without arguments, describe its
// options, and add it in register_core_callbacks() or in a program's own list.
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/io/checkpoint.h"
#include "core/nn/progress.h"
#include "core/nn/train_state.h"

namespace trireme::nn {

class Model;

// The reason of a training that a signal ended.
inline constexpr const char* kStoppedBySignal = "a signal asked for it";

// What a callback may see and do of the training that it belongs to.
class Training {
 public:
  virtual ~Training() = default;
  virtual Model& model() = 0;
  virtual int64_t step() const = 0;   // steps taken since training began, resumed ones too
  virtual int64_t epoch() const = 0;  // epochs finished, likewise
  virtual bool resumed() const = 0;   // steps were taken before this callback began
  // The names of Callback::on_epoch_end's logs: "loss", "accuracy", …, then "val_loss", ….
  virtual std::vector<std::string> log_names() const = 0;
  // Another number whenever state() would be another one.
  virtual int64_t revision() const = 0;
  // For a callback that has changed the model: what was saved before is out of date.
  virtual void changed() = 0;
  // Everything that a checkpoint holds: variables, slots, progress, callbacks.
  virtual StateMap state() = 0;
  // Goes on from another training's state(); callbacks too, by Callback::restore().
  virtual void restore(const StateMap& state) = 0;
  // Training ends after this step or epoch; the first reason counts.
  virtual void request_stop(const std::string& reason) = 0;
  // Of the next step.
  virtual double learning_rate() const = 0;
  // From the next step on, in place of the optimizer's own and its schedule; a checkpoint keeps it.
  virtual void set_learning_rate(double rate) = 0;
  // The norm of the last step's gradient, of all workers and before it is clipped. Nothing where
  // CompileOptions::gradient_norm did not ask for it, and before the first step of this process.
  virtual std::optional<double> gradient_norm() const = 0;
  virtual const std::string& stop_reason() const = 0;  // empty: nobody has asked for it
  // How long a step of this epoch, or of the one that has just ended, waited for its data: on
  // average, in this process, in ms.
  virtual double data_wait_ms() const { return 0; }
};

class Callback : public Component {
 public:
  static constexpr std::string_view kFamily = "callback";
  virtual void on_train_begin(Training&) {}
  virtual void on_epoch_begin(Training&) {}
  // `logs`: the loss and metrics of this batch alone.
  virtual void on_batch_end(Training&, Logs /*logs*/) {}
  // The steps of an epoch are done and its validation comes next. Training::epoch() does not count
  // the epoch yet: a training that is resumed from here validates first.
  virtual void on_validation_begin(Training&) {}
  // `logs`: means over the epoch, and the values of the validation, "val_loss". Training::epoch()
  // counts this epoch.
  virtual void on_epoch_end(Training&, Logs /*logs*/) {}
  virtual void on_train_end(Training&) {}
  // Figures of an epoch that it adds to the logs, behind those of the validation: their names, and
  // what they are so far, in the same order.
  virtual std::vector<std::string> figure_names() const { return {}; }
  virtual std::vector<std::optional<double>> figures(const Training&) const { return {}; }
  // Whether figures() needs Training::gradient_norm().
  virtual bool needs_gradient_norm() const { return false; }
  // Whether a loss that is no finite number is its business; else it is an error.
  virtual bool takes_non_finite() const { return false; }
  // An error within a step ends the training; instead of on_train_end(). Training::state() is that
  // of the steps before.
  virtual void on_failure(Training&) {}
  // What it must remember over a resume, under names that start with "callback/".
  virtual void save(StateMap&) const {}
  virtual void restore(const StateMap&) {}

  // `writes`: asked whether this process is the one of several workers that writes what they share;
  // null: it is. Called before the training begins.
  void set_writes(std::function<bool()> writes) { writes_ = std::move(writes); }

 protected:
  bool writes() const { return !writes_ || writes_(); }

 private:
  std::function<bool()> writes_;
};

struct BestCheckpoint {
  int64_t step = -1;      // steps taken at the end of the best epoch so far; -1: there is none
  bool restored = false;  // its weights are the model's again
};
struct CheckpointCallbackOptions {
  std::string directory;
  int64_t every_steps = 0;  // 0: only at the end of epochs
  bool every_epoch = true;
  int keep_last = 5;
  // What is saved beside, under the same step: before the checkpoint is there, and after it is and
  // older ones are gone.
  std::function<void(int64_t step)> before = {};
  std::function<void(std::span<const io::CheckpointInfo> kept)> after = {};
  // Whether an error within a step saves the steps before it; not when what lies beside may be what
  // failed.
  bool saves_on_failure = true;
  // What EarlyStopping knows; null: nobody monitors the training. The checkpoint of the best epoch
  // is kept beyond keep_last.
  std::function<BestCheckpoint()> best = {};
};
// Saves Training::state(): after steps and epochs as the options say, before each validation, so
// that nothing that happens during one loses the epoch, and when training ends, early too.
class CheckpointCallback : public Callback {
 public:
  explicit CheckpointCallback(CheckpointCallbackOptions options);
  void on_train_begin(Training& training) override;
  void on_batch_end(Training& training, Logs logs) override;
  void on_validation_begin(Training& training) override;
  void on_epoch_end(Training& training, Logs logs) override;
  void on_failure(Training& training) override;
  void on_train_end(Training& training) override;
  int64_t saved_step() const { return saved_step_; }  // of the newest checkpoint; -1: none yet

 private:
  void save_now(Training& training);
  void keep_best();
  bool holds(const io::CheckpointInfo& checkpoint, const Training& training) const;
  BestCheckpoint best() const { return options_.best ? options_.best() : BestCheckpoint{}; }

  CheckpointCallbackOptions options_;
  io::CheckpointManager manager_;
  int64_t saved_step_ = -1, saved_revision_ = -1;
};

struct EarlyStoppingOptions {
  std::string monitor = "val_loss";
  int64_t patience = 0;  // stops at the n-th epoch in a row without improvement
  double min_delta = 0;
  bool higher_is_better = false;
  // At the end of the training, when this stopped it or all epochs were done. A training that ends
  // for another reason, such as a signal, keeps its own weights: it will be resumed.
  bool restore_best_weights = false;
};
// Throws Error{kInvalidArgument} listing `names`, those of a training's logs, when `monitor` is
// none of them.
void require_monitored(const std::string& monitor, std::span<const std::string> names);

// The epoch with the best monitored value.
struct BestEpoch {
  int64_t epoch = 0;  // how many epochs were finished then; 0: there is none yet
  int64_t step = -1;  // steps taken then
  std::map<std::string, double> logs;
};
class EarlyStopping : public Callback {
 public:
  explicit EarlyStopping(EarlyStoppingOptions options);
  const EarlyStoppingOptions& options() const { return options_; }
  const BestEpoch& best() const { return best_epoch_; }
  // Whether the model now has the weights of the best epoch because of restore_best_weights.
  bool restored() const { return restored_; }

  // Throws Error{kInvalidArgument} listing what could be monitored.
  void on_train_begin(Training& training) override;
  // Stops a training that goes on from a state in which it had to stop.
  void on_epoch_begin(Training& training) override;
  void on_epoch_end(Training& training, Logs logs) override;
  void on_train_end(Training& training) override;
  void save(StateMap& state) const override;
  void restore(const StateMap& state) override;

 private:
  std::string reason() const;
  void stop(Training& training);
  EarlyStoppingOptions options_;
  double best_ = std::numeric_limits<double>::quiet_NaN();
  int64_t waited_ = 0;
  bool restored_ = false;
  BestEpoch best_epoch_;
  StateMap best_weights_;
};

// One line an epoch: "epoch,loss,accuracy,val_loss,…". A resumed training drops the epochs that it
// does again and appends. What changes lines that are there is written aside and renamed, so a link
// of that name is replaced, and nobody sees less than was there; a new line is appended.
//
// Of several workers each has one, and one writes: all remember the lines, so that whoever takes
// over writes a complete file.
//
// With show_data_wait() the last column is "data_wait_ms", Training::data_wait_ms(). It is no part
// of what a checkpoint keeps, which stays that of a training that nobody interrupted: a resumed
// training takes it from the file, and leaves it empty where it is not there.
class CsvLog : public Callback {
 public:
  // One that a job names; its lines are kept under the name of its file.
  CsvLog() = default;
  // `writes`: as for set_writes().
  explicit CsvLog(std::string path, std::function<bool()> writes = nullptr);
  ~CsvLog() override;
  void show_data_wait() { shows_data_wait_ = true; }
  void describe(OptionVisitor& visitor) override;
  void check() const override;
  void on_train_begin(Training& training) override;
  void on_epoch_begin(Training& training) override;
  void on_epoch_end(Training& training, Logs logs) override;
  void on_train_end(Training& training) override;
  void save(StateMap& state) const override;
  void restore(const StateMap& state) override;

 private:
  void drop_from(int64_t epoch);
  void take_data_waits();
  std::string text_of(size_t line) const;
  void write();
  void close();
  std::string key() const;

  std::string path_;
  bool is_main_ = false;  // of the training itself, whose file may be moved
  bool shows_data_wait_ = false;
  std::vector<std::string> lines_;       // the header first; without data_wait_ms
  std::vector<std::string> data_waits_;  // of each line; empty: not known
  int fd_ = -1;
  size_t written_ = 0;  // lines_ that are in the file
};

// Stops cleanly after the step during which a signal handler set the flag, which must outlive the
// callback.
class StopFlag : public Callback {
 public:
  explicit StopFlag(const std::atomic<bool>* flag) : flag_(flag) {}
  void on_batch_end(Training& training, Logs) override {
    if (flag_->load(std::memory_order_relaxed)) training.request_stop(kStoppedBySignal);
  }

 private:
  const std::atomic<bool>* flag_;
};

// Those that a job file may name.
void register_core_callbacks(Catalog<Callback>& catalog);

}  // namespace trireme::nn
