// A worker's part in a training whose tables are on parameter servers: meets the servers, gives the
// tables their first values or a checkpoint's, brings variables back to be read, agrees with the
// other workers, and saves the rows beside checkpoints.
//
// With the strategy parameter_server the workers have no group: whoever dies and comes back goes on
// behind its own last push, and the others hear nothing of it. With hybrid they have one, and what
// they agree on goes through its collectives.
//
// Owned by the task; used by its main thread between steps.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/io/checkpoint.h"
#include "core/io/checkpoint_parts.h"
#include "ps/ops/client_store.h"
#include "worker/task.h"

namespace trireme {

struct ServerTrainingOptions {
  uint64_t incarnation = 0;  // how often this task was started again
  // What must be equal on all workers, by its name.
  std::map<std::string, std::string> handshake = {};
  std::string checkpoints;  // folder
  // The last step that the job had reached when its tables were lost and all tasks began again; 0:
  // they were not.
  std::function<int64_t()> reached = nullptr;
  std::function<int()> stop_signal = {};  // see ClientOptions
  int64_t save_every_steps = 0;           // checkpoints within an epoch; 0: none
  bool saves = true;                      // checkpoints at all
  // Of a group: what has ended its generation, asked while a checkpoint waits for other workers'
  // pushes. Null: nothing ends one.
  std::function<std::optional<Error>()> interrupted = {};
};

class ServerTraining {
 public:
  // Throws what PsClient throws, and Error{kInvalidArgument} when the job makes no tables.
  ServerTraining(Task& task, ServerTrainingOptions options);
  ~ServerTraining();
  ServerTraining(const ServerTraining&) = delete;

  // Strategy parameter_server: returns when all workers are there and the tables have their values.
  // `fit` may have a state to go on from; it gets the hooks, and the place of this worker.
  // `resumed`: the checkpoint with that state, on rank 0; empty: none. Its rows lie beside it.
  void begin(nn::FitOptions& fit, const std::string& resumed);
  // Strategy hybrid, before the group forms: returns when the tables have the rows of the
  // checkpoint that `fit` goes on from, on whichever worker it is there.
  void begin_rows(nn::FitOptions& fit, const std::string& resumed);
  // The group goes on behind `done` steps. Steps that this worker did not push itself are pushed
  // without gradients: the servers wait for them.
  void catch_up(int64_t done);
  // Strategy hybrid, when a group of tasks that all have begun goes on behind `done` steps: whether
  // the servers have more, since all workers were lost and have only what a checkpoint has. Nobody
  // may take rows back before all have asked.
  bool is_ahead_of(int64_t done);
  // Takes the rows back to the checkpoint of that step; empty: none was saved yet. One worker calls
  // it; nobody may pull before it has returned.
  void take_back(int64_t done, const std::string& checkpoint);
  // When all tasks have begun again, behind `step`: says how many steps that has cost, to the
  // coordinator and in the log. One worker calls it, when all have come.
  void tell_lost_steps(int64_t step);

  // Rows and slots of all tables as a checkpoint of that step: in SYNC consistency exactly those
  // after it, which it waits for. forget() removes those of steps that are not among `kept`.
  // Throws what PsClient::save_checkpoint throws, and what `interrupted` says.
  void save(int64_t step);
  // Of what save() wrote last; see RowsMark.
  const io::PartsManifest& saved() const { return saved_; }
  void forget(std::span<const io::CheckpointInfo> kept) const;

  // The servers' error that ended a step or a checkpoint; nothing: it was another one.
  const std::optional<Error>& fault() const { return fault_ ? fault_ : store_->fault(); }
  // Returns when all workers call it: whether any of them says `yes`.
  bool finish(bool yes);
  // This worker does something without servers: it does not hang. Any thread.
  void note_progress() { client_->note_progress(); }
  std::string describe() const;  // tables and where they are, for the log

 private:
  std::vector<ps::TableSpec> make_tables() const;
  // Throws Error{kInvalidArgument} naming a worker and what it has that differs from worker 0's.
  void compare_jobs();
  void compare_over_workers(const std::vector<std::pair<std::string, std::string>>& fields);
  nn::TrainPlace agree_on_start(const nn::FitOptions& fit, const std::string& resumed);
  nn::TrainPlace place_behind(int64_t step) const;
  void warn_of_missing_losses(const nn::TrainProgress& saved) const;
  void restore(const std::string& checkpoint);
  void assign_variables();
  void refresh();
  void prefetch_rows(nn::FitOptions& fit);
  bool leave_epoch(int64_t epoch, bool stopping, nn::RunningMeans& sums);
  // Over all workers; returns when all have called it with this name.
  void sum(const std::string& name, std::span<double> values);
  bool is_sync() const;  // all tables are
  // The same for loss and metrics; returns whether any worker passed true as `vote`.
  bool add_up(const std::string& name, nn::RunningMeans& means, bool vote);
  void meet(const std::string& name);
  bool stopping() const { return task_.options.stop != nullptr && *task_.options.stop; }

  Task& task_;
  const ServerTrainingOptions options_;
  int parts_ = 0;  // pushes of a step
  std::shared_ptr<ps::PsClient> client_;
  std::shared_ptr<ps::ClientStore> store_;
  int64_t epoch_ = 0;  // that was left last
  std::optional<Error> fault_;
  io::PartsManifest saved_{.step = -1};  // last
  // From a batch to the keys that its step looks up: lists, and the table of each.
  std::unique_ptr<Function> next_keys_;
  std::vector<Tensor> keys_;
  std::vector<int> key_tables_;
};

}  // namespace trireme
