#include "worker/train_task.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "core/base/activity.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/graph/serialize.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/nn/callbacks.h"
#include "core/nn/load_weights.h"
#include "proto/job.pb.h"
#include "worker/allreduce_group.h"
#include "worker/cluster_options.h"
#include "worker/handshake.h"
#include "worker/job_connection.h"
#include "worker/job_failure.h"
#include "worker/model_files.h"
#include "worker/model_text.h"
#include "worker/preparation.h"
#include "worker/result_line.h"
#include "worker/resume.h"
#include "worker/resume_check.h"
#include "worker/run_folder.h"
#include "worker/run_id.h"
#include "worker/server_group.h"
#include "worker/task.h"
#include "worker/timeline.h"
#include "worker/trace_steps.h"
#include "worker/train_callbacks.h"
#include "worker/train_checks.h"
#include "worker/train_outcome.h"
#include "worker/worker_metrics.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// One training, from its checks to its line of results. What it does together with other workers is
// its group's.
class TrainRun {
 public:
  // `metrics`: null, or it outlives the object.
  TrainRun(const JobFile& file, const TaskOptions& options, WorkerMetrics* metrics)
      : metrics_(metrics),
        job_(file.job()),
        options_(options),
        preparation_(options.stop, options.end_early),
        task_(file, options, TaskUse::kTrain),
        connection_(task_),
        folder_(job_.output_dir(), job_of_processes(task_.cluster)) {}

  TaskResult run() {
    try {
      return train();
    } catch (const Error& error) {
      // Before its first step there is nothing to save.
      const bool told = options_.stop != nullptr && *options_.stop;
      if (error.code() == ErrorCode::kCancelled && told) {
        return {.json = "", .stopped = true, .stop_signal = stop_signal(), .where = error.what()};
      }
      connection_.tell(error, cluster_options());
      throw with_saved(error);
    } catch (const std::exception& error) {
      connection_.tell(Error(ErrorCode::kFailed, error.what()), cluster_options());
      throw;
    }
  }

 private:
  TaskResult train() {
    const auto start = std::chrono::steady_clock::now();
    build();
    nn::FitOptions fit{.epochs = job_.epochs(),
                       .steps_per_epoch = task_.steps_per_epoch,
                       .allow_nan = job_.allow_nan()};
    check();
    const Environment environment = process_environment();
    meet(fit, environment);
    group_->say(task_.data.description + "\n" + task_.model->summary());
    if (all_reduce_ != nullptr) all_reduce_->tell_generation();
    if (options_.progress_bar) fit.progress->terminal = *options_.progress_bar;
    if (options_.quiet || !group_->is_rank_zero()) fit.progress = {};
    take_folder(fit);
    if (group_->is_rank_zero()) keep_launch_id(job_.output_dir(), task_.run, environment);
    add_callbacks(fit);
    fit.validation = group_->validation_batches();
    fit.group = group_.get();
    const nn::History history = train_model(std::move(fit));
    return end(history, start);
  }

  void build() {
    task_.model->build_training(nn::batch_types(task_.train_batches(0, 1)));
    // All ranks have the same ones.
    for (const std::string& warning : task_.model->take_warnings()) {
      if (task_.cluster.rank == 0) log_warning(warning);
    }
    const auto weights = initial_weights_of(task_.file);
    if (weights && (!options_.resume || options_.resume == kResumeAuto)) {
      take_initial_weights(*weights);
    }
    if (!options_.save_graph.empty()) {
      io::write_file_atomically(options_.save_graph, serialize(task_.model->graph()));
    }
  }

  // All workers read the same file; what a training goes on from comes over it.
  void take_initial_weights(const job::ModelWeights& wanted) {
    const std::string where = task_.file.where("model.weights");
    nn::LoadOptions options{.map = {}, .strict = wanted.strict()};
    for (const job::WeightMap& map : wanted.map()) {
      options.map.push_back({map.pattern(), map.replacement()});
    }
    try {
      const nn::LoadReport report = nn::load_weights(
          *task_.model, read_weights(wanted.from(), *task_.model, task_.options.tables.schema),
          options);
      if (task_.cluster.rank != 0) return;
      if (!options_.quiet) std::cerr << wanted.from() << ": " << report.to_string() << "\n";
      if (task_.uses_servers()) {
        log_warning("model.weights: rows of embeddings that parameter servers keep are not taken");
      }
    } catch (const Error& error) {
      throw Error(error.code(), str_cat(where, "model.weights: ", error.what()));
    }
  }

  // Before anything is written, and before the others are met.
  void check() {
    check_schedule(task_);
    if (task_.cluster.rank == 0) folder_.hold();
    check_before_training(task_);
  }

  // Returns when all workers are there and agree on where the training goes on: `fit` says it.
  void meet(nn::FitOptions& fit, const Environment& environment) {
    const bool distributed = connection_.is_distributed();
    if (distributed) log_to_own_file();
    if (distributed) handshake_ = handshake_of(task_);
    ClusterOptions options = cluster_options();
    const bool goes_on = options_.resume == kResumeAuto;
    if (distributed ? task_.cluster.hosts_coordinator : goes_on || may_start_again(environment)) {
      task_.run = launch_id(job_.output_dir(), goes_on, environment);
      options.run = task_.run;
    }
    // The runtime asks for signals itself, and has things to put away.
    if (task_.communicates() && !task_.uses_servers()) preparation_.finish();
    if (distributed) connection_.open(std::move(options));
    TrainStart begin = find_start(task_);
    resumed_ = std::move(begin.resumed);
    fit.resume = std::move(begin.state);
    if (fit.resume) {
      task_.take_preprocessing(*fit.resume, resumed_.empty() ? "the newest checkpoint" : resumed_);
      if (distributed) update_preprocessing(task_, handshake_);
    }
    if (task_.uses_servers()) meet_servers(fit);
    preparation_.finish();
    form_group(fit);
    connection_.met();
  }

  // Before the group forms: a worker that is lost here comes back and does the same again.
  void meet_servers(nn::FitOptions& fit) {
    ClusterRuntime* const runtime = connection_.runtime();
    servers_ = std::make_unique<ServerTraining>(
        task_, ServerTrainingOptions{.incarnation = incarnation(),
                                     .handshake = handshake_,
                                     .checkpoints = checkpoint_directory(job_),
                                     .reached = [this] { return connection_.greeting().reached; },
                                     .stop_signal = [this] { return stop_signal(); },
                                     .saves = !job_.checkpoint().off(),
                                     .interrupted = [runtime]() -> std::optional<Error> {
                                       return runtime != nullptr ? runtime->fault() : std::nullopt;
                                     }});
    runtime != nullptr ? servers_->begin_rows(fit, resumed_) : servers_->begin(fit, resumed_);
  }

  void form_group(nn::FitOptions& fit) {
    if (ClusterRuntime* const runtime = connection_.runtime()) {
      auto group = std::make_unique<AllReduceGroup>(
          task_, *runtime, servers_.get(),
          AllReduceGroupOptions{.handshake = handshake_,
                                .resumed = resumed_,
                                .checkpoints = checkpoint_directory(job_),
                                .stop_signal = [this] { return stop_signal(); },
                                .metrics = metrics_});
      group->join(fit);
      all_reduce_ = group.get();
      group_ = std::move(group);
    } else if (servers_) {
      const bool restarts = std::getenv("TRIREME_INCARNATION") != nullptr;
      group_ = std::make_unique<ServerGroup>(task_, *servers_, restarts);
    } else {
      group_ = std::make_unique<TaskGroup>(task_);
    }
  }

  void add_callbacks(nn::FitOptions& fit) {
    callbacks_ = make_callbacks(
        task_, folder_, servers_.get(), [this] { return group_->rank(); }, metrics_);
    fit.callbacks = callbacks_.all;
    if (metrics_ != nullptr) fit.callbacks.insert(fit.callbacks.begin(), count_for_metrics());
    if (task_.tracer) fit.callbacks.push_back(std::make_shared<TraceSteps>(task_.tracer));
    if (auto farewell = group_->make_farewell(callbacks_.all)) {
      fit.callbacks.push_back(std::move(farewell));
    }
  }

  TaskResult end(const nn::History& history, std::chrono::steady_clock::time_point start) {
    TaskResult result = describe(history, start, servers_ ? connection_.greeting().lost_steps : 0);
    job_stopped_ = result.stopped;
    group_->say(end_sentence(history, callbacks_.early_stopping.get(), job_));
    group_->say(tables_text(history.tables));
    ClusterRuntime* const runtime = connection_.runtime();
    if (!options_.timeline.empty() &&
        (runtime != nullptr ? runtime->connected() : group_->is_rank_zero())) {
      write_timeline(options_.timeline, *task_.tracer,
                     runtime != nullptr ? &runtime->communicator() : nullptr);
    }
    if (group_->agree_on_interrupt(stop_signal() == SIGINT)) result.stop_signal = SIGINT;
    servers_.reset();
    connection_.leave();
    return result;
  }

  // The error, and what of the training it does not cost.
  Error with_saved(const Error& error) const {
    const int64_t step = callbacks_.checkpoint ? callbacks_.checkpoint->saved_step() : -1;
    if (step < 0) return error;
    return {error.code(), str_cat(error.what(), "; the training up to step ", step, " is saved in ",
                                  checkpoint_directory(job_), ", go on with --resume")};
  }
  // Throws what ended the group for good, when this worker has saved what it had.
  nn::History train_model(nn::FitOptions fit) {
    nn::History history;
    try {
      history = task_.model->fit(group_->train_batches(), std::move(fit));
    } catch (const std::exception& error) {
      if (group_->survivor() == nullptr) throw;
      throw group_->survivor()->end(
          str_cat("and what this worker has could not be saved: ", error.what()));
    }
    if (const Survivor* survivor = group_->survivor()) {
      throw survivor->end(saved_text(history.steps));
    }
    return history;
  }
  std::string saved_text(int64_t step) const {
    return str_cat("stopped after step ", step, "; ",
                   job_.checkpoint().off()
                       ? "nothing was saved, because checkpoints are off"
                       : "saved in " + checkpoint_directory(job_) + ", go on with --resume");
  }

  // By which signal this task, or a job that it has part in, was told to stop; 0: it was not. From
  // any thread.
  int stop_signal() const {
    const int own = options_.stop_signal ? options_.stop_signal() : 0;
    return own != 0 || !job_stopped_ ? own : SIGTERM;
  }
  ClusterOptions cluster_options() const {
    ClusterOptions options = cluster_options_of(job_.distributed());
    options.stop = options_.stop;
    options.stop_signal = [this] { return stop_signal(); };
    options.ask_to_stop = options_.ask_to_stop;
    return options;
  }

  // Whoever becomes rank 0 later takes the folder then: see HoldsRunFolder.
  void take_folder(const nn::FitOptions& fit) {
    if (!group_->is_rank_zero()) return;
    folder_.hold();
    const bool goes_on = fit.resume || (fit.place && fit.place->step > 0) || incarnation() > 0 ||
                         is_kept_launch(job_.output_dir(), task_.run);
    if (goes_on && folder_.has(resumed_)) {
      if (!resumed_.empty()) io::make_newest(resumed_);
      return;
    }
    folder_.begin(options_.overwrite ? EarlierRun::kRemove : EarlierRun::kRefuse);
  }

  // A launcher keeps what its tasks print; under mpirun and srun all print to one place.
  void log_to_own_file() const {
    if (std::getenv("TRIREME_INCARNATION") != nullptr) return;
    const fs::path logs = fs::path(job_.output_dir()) / "logs";
    fs::create_directories(logs);
    log_to_file((logs / str_cat("worker-", task_.cluster.rank, ".log")).string());
  }

  std::shared_ptr<nn::Callback> count_for_metrics() {
    return metrics_->counter({.rows =
                                  [this](int64_t step) {
                                    return task_.own_rows(step - 1, group_->rank(),
                                                          group_->workers());
                                  },
                              .lost_steps = [this]() -> std::optional<int64_t> {
                                if (!servers_ || !group_->is_rank_zero()) return std::nullopt;
                                return connection_.greeting().lost_steps;
                              }});
  }

  TaskResult describe(const nn::History& history, std::chrono::steady_clock::time_point start,
                      int64_t lost_steps) const {
    TaskResult result;
    if (group_->is_rank_zero()) {
      result.json = training_line(job_, task_.strategy_def->name, group_->workers(), history,
                                  callbacks_.early_stopping.get(), lost_steps,
                                  std::chrono::steady_clock::now() - start)
                        .dump();
    }
    const bool asked = history.stop_reason == nn::kStoppedBySignal;
    if (asked && history.epochs < job_.epochs()) {
      result.stopped = true;
      result.stop_signal = stop_signal() != 0 ? stop_signal() : SIGTERM;
      result.where = saved_text(history.steps);
    }
    return result;
  }

  WorkerMetrics* const metrics_;
  const job::Job& job_;
  const TaskOptions& options_;
  Preparation preparation_;
  Task task_;
  std::atomic<bool> job_stopped_{false};  // here or in another task; read by those below
  JobConnection connection_;
  std::unique_ptr<ServerTraining> servers_;  // null without parameter servers
  std::unique_ptr<TaskGroup> group_;         // null until all have met
  AllReduceGroup* all_reduce_ = nullptr;     // the same, where it is one
  RunFolder folder_;
  std::string resumed_;  // the checkpoint that the training goes on from; empty: none
  TrainCallbacks callbacks_;
  std::map<std::string, std::string> handshake_;
};

}  // namespace

TaskResult train(const JobFile& file, const TaskOptions& options) {
  std::unique_ptr<WorkerMetrics> metrics;
  std::optional<ObservedThread> observed;
  std::optional<TrainRun> run;
  try {
    if (options.metrics) {
      metrics = std::make_unique<WorkerMetrics>(
          *options.metrics, file.job().name(),
          resolve_cluster(options.cluster, process_environment()), incarnation());
      observed.emplace(metrics->times());
    }
    // Before anything is read: of several workers the one that will write says so when they have
    // met.
    const bool begins = !options.resume && !options.overwrite && incarnation() == 0;
    if (begins && resolve_cluster(options.cluster, process_environment()).is_single_process()) {
      refuse_earlier_run(file.job().output_dir());
    }
    run.emplace(file, options, metrics.get());
  } catch (const Error& error) {
    tell_failed_start(options.cluster, cluster_options_of(file.job().distributed()), error);
    throw;
  }
  return run->run();
}

}  // namespace trireme
