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

#include "ps/ops/client_store.h"
#include "worker/row_prefetch.h"
#include "worker/rows_saver.h"
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
  bool saves = true;                      // checkpoints
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
  // `fit` may have a state to go on from; it gets the place of this worker.
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

  RowsSaver& saver() { return *saver_; }

  // Where rows may be a step old, those of the next batch come while this one is computed.
  // prefetch() asks for them; see TrainingGroup::peek().
  bool prefetches() const { return prefetch_ != nullptr; }
  void prefetch(int64_t step, const data::Element& batch) { prefetch_->fetch(step, batch); }
  // See TrainingGroup.
  int64_t steps_after_vote() const;
  // The session gets the variables that are on the servers.
  void pull_variables();
  // Adds loss and metrics up over all workers; returns true if any of them passed true as `vote`.
  // Returns when all have called it with this name.
  bool add_up(const std::string& name, nn::RunningMeans& means, bool vote);

  // The servers' error that ended a step or a checkpoint; nothing: it was another one.
  const std::optional<Error>& fault() const {
    return saver_->fault() ? saver_->fault() : store_->fault();
  }
  // Returns when all workers call it: whether any of them says `yes`.
  bool finish(bool yes);
  // This worker does something without servers: it does not hang. Any thread.
  void note_progress() { client_->note_progress(); }
  // The same for each batch that is read.
  data::Dataset noting_progress(const data::Dataset& batches);
  std::string describe() const;  // tables and where they are, for the log

 private:
  std::vector<ps::TableSpec> make_tables() const;
  void compare();  // throws what compare_jobs() throws
  nn::TrainPlace agree_on_start(const nn::FitOptions& fit, const std::string& resumed);
  nn::TrainPlace place_behind(int64_t step) const;
  void warn_of_missing_losses(const nn::TrainProgress& saved) const;
  void restore(const std::string& checkpoint);
  void assign_variables();
  void prepare_prefetch();
  // Over all workers; returns when all have called it with this name.
  void sum(const std::string& name, std::span<double> values);
  void meet(const std::string& name);

  Task& task_;
  const ServerTrainingOptions options_;
  int parts_ = 0;  // pushes of a step
  std::shared_ptr<ps::PsClient> client_;
  std::shared_ptr<ps::ClientStore> store_;
  std::unique_ptr<RowPrefetch> prefetch_;  // null: rows come when their step asks
  std::unique_ptr<RowsSaver> saver_;
};

}  // namespace trireme
