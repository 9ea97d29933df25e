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
#include "distributed/coordination/coordinator.h"
#include "proto/job.pb.h"
#include "worker/client_options.h"
#include "worker/cluster_options.h"
#include "worker/cluster_runtime.h"
#include "worker/farewell.h"
#include "worker/handshake.h"
#include "worker/job_failure.h"
#include "worker/join_generation.h"
#include "worker/meeting.h"
#include "worker/preparation.h"
#include "worker/result_line.h"
#include "worker/resume.h"
#include "worker/resume_check.h"
#include "worker/run_folder.h"
#include "worker/run_id.h"
#include "worker/server_training.h"
#include "worker/survivor.h"
#include "worker/task.h"
#include "worker/timeline.h"
#include "worker/trace_steps.h"
#include "worker/train_callbacks.h"
#include "worker/train_checks.h"
#include "worker/train_outcome.h"
#include "worker/validation_votes.h"
#include "worker/worker_metrics.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kGroupIsGone[] = "the other workers are lost";

// One training: the callbacks, the hooks of a strategy, and what happens when a peer is lost.
class TrainRun {
 public:
  // `metrics`: null, or it outlives the object.
  TrainRun(const JobFile& file, const TaskOptions& options, WorkerMetrics* metrics)
      : file_(file),
        metrics_(metrics),
        job_(file.job()),
        options_(options),
        preparation_(options.stop, options.end_early),
        task_(file, options, TaskUse::kTrain),
        folder_(job_.output_dir(), job_of_processes(task_.cluster)) {}

  TaskResult run() {
    try {
      return train();
    } catch (const Error& error) {
      // Before its first step there is nothing to save.
      if (error.code() == ErrorCode::kCancelled && stopping()) {
        return {.json = "", .stopped = true, .stop_signal = stop_signal(), .where = error.what()};
      }
      tell(error);
      throw with_saved(error);
    } catch (const std::exception& error) {
      tell(Error(ErrorCode::kFailed, error.what()));
      throw;
    }
  }

 private:
  TaskResult train() {
    const auto start = std::chrono::steady_clock::now();
    task_.model->build_training(nn::batch_types(task_.train_batches(0, 1)));
    // All ranks have the same ones.
    for (const std::string& warning : task_.model->take_warnings()) {
      if (task_.cluster.rank == 0) log_warning(warning);
    }
    if (!options_.save_graph.empty()) {
      io::write_file_atomically(options_.save_graph, serialize(task_.model->graph()));
    }
    nn::FitOptions fit{.epochs = job_.epochs(),
                       .steps_per_epoch = task_.steps_per_epoch,
                       .allow_nan = job_.allow_nan()};
    check_schedule(task_);
    // Before anything is written there.
    if (task_.cluster.rank == 0) folder_.hold();
    check_before_training(task_);
    if (distributed()) log_to_own_file();
    if (distributed()) handshake_ = handshake_of(task_);
    ClusterOptions options = cluster_options();
    const Environment environment = process_environment();
    const bool goes_on = options_.resume == kResumeAuto;
    if (distributed() ? task_.cluster.hosts_coordinator : goes_on || may_start_again(environment)) {
      task_.run = launch_id(job_.output_dir(), goes_on, environment);
      options.run = task_.run;
    }
    meeting_ = true;  // who is refused does not belong to the job
    if (task_.communicates()) {
      if (Device& device = *task_.devices->all().front(); !device.host_memory()) {
        options.gpu = &device;
      }
      // It asks for signals itself, and has things to put away.
      if (!task_.uses_servers()) preparation_.finish();
      runtime_ = std::make_unique<ClusterRuntime>(task_.cluster, options, task_.slots);
    }
    if (distributed()) meet_coordinator(options);
    TrainStart begin = find_start(task_);
    resumed_ = std::move(begin.resumed);
    fit.resume = std::move(begin.state);
    if (fit.resume) {
      task_.take_preprocessing(*fit.resume, resumed_.empty() ? "the newest checkpoint" : resumed_);
      if (distributed()) update_preprocessing(task_, handshake_);
    }
    if (task_.uses_servers()) meet_servers(fit, resumed_);
    preparation_.finish();
    if (runtime_) join_cluster(fit);
    meeting_ = false;
    say(task_.data.description + "\n" + task_.model->summary());
    if (runtime_) tell_generation();
    if (options_.progress_bar) fit.progress->terminal = *options_.progress_bar;
    if (options_.quiet || !speaks()) fit.progress = {};
    take_folder(fit);
    if (speaks()) keep_launch_id(job_.output_dir(), task_.run, environment);
    callbacks_ = make_callbacks(
        task_, folder_, servers_.get(), [this] { return rank(); }, metrics_);
    fit.callbacks = callbacks_.all;
    if (metrics_ != nullptr) fit.callbacks.insert(fit.callbacks.begin(), count_for_metrics());
    fit.validation = validation();
    if (!distributed() && options_.stop != nullptr) {
      fit.evaluation.interrupt = [stop = options_.stop](int64_t) { return stop->load(); };
    }
    if (task_.strategy) add_share(fit);
    if (task_.tracer) fit.callbacks.push_back(std::make_shared<TraceSteps>(task_.tracer));
    if (runtime_) fit.callbacks.push_back(make_farewell());
    const nn::History history = train_model(std::move(fit));
    TaskResult result = describe(history, start, servers_ ? greeting().lost_steps : 0);
    job_stopped_ = result.stopped;
    say(end_sentence(history, callbacks_.early_stopping.get(), job_));
    if (task_.tracer && (runtime_ ? runtime_->connected() : speaks())) {
      write_timeline(options_.timeline, *task_.tracer,
                     runtime_ ? &runtime_->communicator() : nullptr);
    }
    if (servers_ && !runtime_) interrupted_ = servers_->finish(stop_signal() == SIGINT);
    servers_.reset();
    if (runtime_) runtime_->leave();
    if (interrupted_) result.stop_signal = SIGINT;
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
      history = task_.model->fit(batches(), std::move(fit));
    } catch (const std::exception& error) {
      if (!survivor_.cause()) throw;
      throw survivor_.end(str_cat("and what this worker has could not be saved: ", error.what()));
    }
    if (survivor_.cause()) throw survivor_.end(saved_text(history.steps));
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

  // The others end with it, unless a restart may mend it.
  void tell(const Error& error) noexcept {
    if (nn::is_lost_peer(error)) return;
    if (runtime_ && runtime_->was_member()) {
      runtime_->fail(error);
    } else if (!meeting_) {
      tell_job_failed(task_.cluster, cluster_options(), coordinator_.get(), error);
    }
  }

  bool stopping() const { return options_.stop != nullptr && *options_.stop; }
  // Of several workers, whatever holds them together.
  bool distributed() const { return task_.communicates() || task_.uses_servers(); }
  int rank() const { return survivor_.is_alone() ? 0 : group_rank(); }
  int group_rank() const { return runtime_ ? runtime_->rank() : task_.cluster.rank; }
  int workers() const { return runtime_ ? runtime_->workers() : task_.cluster.world_size; }
  bool speaks() const { return rank() == 0; }
  void say(const std::string& text) const {
    if (!options_.quiet && speaks()) std::cerr << text << std::flush;
  }
  data::Dataset batches() const { return task_.train_batches(rank(), workers()); }
  data::Dataset validation() const {
    data::Dataset batches = task_.validation_batches(rank(), workers());
    if (!servers_) return batches;
    // Others wait at the servers meanwhile, which see nothing of it.
    return batches.map([this](data::Element&, const auto&) { servers_->note_progress(); },
                       {.threads = 0});
  }

  // Whoever becomes rank 0 later takes the folder then: see HoldsRunFolder.
  void take_folder(const nn::FitOptions& fit) {
    if (!speaks()) return;
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

  // Finds it, or hosts it, where no group does so, and hears the id of this launch.
  void meet_coordinator(const ClusterOptions& options) {
    if (runtime_) {
      task_.cluster.coordinator = runtime_->spec().coordinator;
      task_.cluster.secret = runtime_->spec().secret;
    } else {
      coordinator_ = open_meeting(task_.cluster, options);
    }
    task_.run = greeting().run;
  }

  Greeting greeting() const {
    if (runtime_) return runtime_->greeting();
    ClientOptions client = client_options_of(task_.cluster);
    client.give_up = [this] { return stopping(); };
    return CoordinatorClient(std::move(client)).hello();
  }

  // Before the group forms: a worker that is lost here comes back and does the same again.
  void meet_servers(nn::FitOptions& fit, const std::string& resumed) {
    servers_ = std::make_unique<ServerTraining>(
        task_, ServerTrainingOptions{.incarnation = incarnation(),
                                     .handshake = handshake_,
                                     .checkpoints = checkpoint_directory(job_),
                                     .reached = [this] { return greeting().reached; },
                                     .stop_signal = [this] { return stop_signal(); },
                                     .save_every_steps = job_.checkpoint().every_steps(),
                                     .saves = !job_.checkpoint().off(),
                                     .interrupted = [this]() -> std::optional<Error> {
                                       return runtime_ ? runtime_->fault() : std::nullopt;
                                     }});
    runtime_ ? servers_->begin_rows(fit, resumed) : servers_->begin(fit, resumed);
    // Who is started again goes on behind its last push. Else the step that the others wait for is
    // on no server, and half of it is no state to save.
    if (!runtime_ && std::getenv("TRIREME_INCARNATION") == nullptr) {
      fit.recover = [](nn::Training&, const Error& error) -> nn::FitData {
        throw not_whole(error);
      };
    }
  }

  // Of an error that ends a training with servers in the middle of a step.
  static Error not_whole(const Error& error) {
    return {error.code(), str_cat(error.what(),
                                  "; what the servers have is not whole, so nothing is "
                                  "saved: go on from the last checkpoint with --resume")};
  }

  bool meet(const std::string& what, bool yes = false) {
    return vote(*runtime_, task_.slots->step(), what, yes);
  }

  // The first generation: whoever has finished the most steps gives its state to the others.
  void join_cluster(nn::FitOptions& fit) {
    const int64_t progress = fit.resume ? nn::load_progress(*fit.resume).step : 0;
    GenerationJoin join = next_generation(progress, /*begins=*/true);
    join.give = [&] { return *fit.resume; };
    join.take = [&](nn::StateMap state) {
      task_.take_preprocessing(state, "the state of another worker");
      fit.resume = std::move(state);
    };
    join_generation(join);
    if (options_.resume && *options_.resume != kResumeAuto && !fit.resume) {
      throw no_checkpoint(task_);
    }
    if (servers_) {
      const Membership& membership = runtime_->membership();
      servers_->catch_up(membership.progress);
      if (speaks()) servers_->tell_lost_steps(membership.progress);
      fit.leave_epoch = [this](int64_t, bool stopping, nn::RunningMeans&) {
        static const std::string kWhat = "the end of an epoch";
        return meet(kWhat, stopping);
      };
    }
    fit.evaluation = ValidationVotes::evaluation(
        [this](std::span<double> values) {
          static const std::string kWhat = "the sums of the validation";
          runtime_->communicator().set_label(kWhat, task_.slots->step());
          runtime_->communicator().all_reduce(
              {values.data(), static_cast<int64_t>(values.size()), DType::kFloat64}, ReduceOp::kSum,
              Summation::kTree);
        },
        [this] { return std::pair(rank(), workers()); },
        [this] { return task_.validation_batches(0, 1).cardinality() / workers(); }, options_.stop);
    fit.recover = [this](nn::Training& training, const Error& error) {
      // A group can get over the loss of a member, not over that of its servers.
      if (servers_ && servers_->fault()) throw not_whole(*servers_->fault());
      recover(training, error, training.step());
      return nn::FitData{batches(), validation()};
    };
  }

  // Becomes a member of the next generation. False when there is none: a signal ended the wait for
  // it, or the others did not come. Then the training stops with what is there, which is saved.
  bool recover(nn::Training& training, const Error& error, int64_t progress) {
    log_warning(error.what());
    runtime_->report(error);
    try {
      GenerationJoin join = next_generation(progress, /*begins=*/false);
      join.give = [&] {
        nn::StateMap state = training.state();
        Farewell::mark_stopped(training, state);
        return state;
      };
      join.take = [&](const nn::StateMap& state) {
        task_.take_preprocessing(state, "the state of another worker");
        training.restore(state);
        Farewell::stop_as(state, training);
      };
      join_generation(join);
    } catch (const Error& failure) {
      const bool told = failure.code() == ErrorCode::kCancelled && stopping();
      if (!told && !nn::is_lost_peer(failure)) throw;
      training.request_stop(told ? nn::kStoppedBySignal : kGroupIsGone);
      survivor_.take_over(checkpoint_directory(job_),
                          told ? std::nullopt : std::optional<Error>(failure));
      return false;
    }
    if (servers_) servers_->catch_up(training.step());
    tell_generation();
    return true;
  }

  // What all workers must agree on before they go: that all of them have finished.
  std::shared_ptr<nn::Callback> make_farewell() {
    return std::make_shared<Farewell>(
        [this] {
          if (!runtime_->connected()) return;
          static const std::string kWhat = "how the training was stopped";
          interrupted_ = meet(kWhat, stop_signal() == SIGINT);
          runtime_->finish();
        },
        // Ahead of whoever has not finished: its state is the one that counts.
        [this](nn::Training& training, const Error& error) {
          const bool again = recover(training, error, training.step() + 1);
          // Whoever is rank 0 now saves what the one before could not.
          for (const auto& callback : callbacks_.all) callback->on_train_end(training);
          return again;
        });
  }

  std::shared_ptr<nn::Callback> count_for_metrics() {
    return metrics_->counter(
        {.rows = [this](int64_t step) { return task_.own_rows(step - 1, rank(), workers()); },
         .lost_steps = [this]() -> std::optional<int64_t> {
           if (!servers_ || !speaks()) return std::nullopt;
           return greeting().lost_steps;
         }});
  }

  void tell_generation() const {
    const Membership& membership = runtime_->membership();
    if (metrics_ != nullptr) metrics_->set_generation(membership.group.generation, workers());
    const std::string line = str_cat(
        "generation ", membership.group.generation, ": ", workers(), " workers, this is rank ",
        rank(), "; after step ", membership.progress, "; collectives: ", runtime_->collectives());
    log_info(line);
    say(line + "\n");
  }

  GenerationJoin next_generation(int64_t progress, bool begins) {
    return {.runtime = *runtime_,
            .servers = servers_.get(),
            .handshake = handshake_,
            .resumed = resumed_,
            .step = task_.slots->step(),
            .progress = progress,
            .begins = begins,
            .give = {},
            .take = {}};
  }

  void add_share(nn::FitOptions& fit) {
    fit.share = [this](int64_t batch, nn::StepShare& share) {
      task_.strategy->fill_share(task_.global_rows(batch), rank(), workers(), share);
      share.vote = options_.stop != nullptr && *options_.stop ? 1 : 0;
      task_.slots->set_step(batch + 1);
    };
  }

  TaskResult describe(const nn::History& history, std::chrono::steady_clock::time_point start,
                      int64_t lost_steps) const {
    TaskResult result;
    if (speaks()) {
      result.json = training_line(job_, task_.strategy_kind, workers(), history,
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

  const JobFile& file_;
  WorkerMetrics* const metrics_;
  const job::Job& job_;
  const TaskOptions& options_;
  Preparation preparation_;
  Task task_;
  std::atomic<bool> job_stopped_{false};      // here or in another task; read by those below
  std::unique_ptr<Coordinator> coordinator_;  // where no group's runtime hosts it
  std::unique_ptr<ClusterRuntime> runtime_;   // of a group
  std::unique_ptr<ServerTraining> servers_;
  RunFolder folder_;
  std::string resumed_;  // the checkpoint that the training goes on from; empty: none
  TrainCallbacks callbacks_;
  Survivor survivor_;
  bool meeting_ = false;      // the others, for the first time
  bool interrupted_ = false;  // by Ctrl-C, in one of the job's tasks
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
