#include "worker/allreduce_group.h"

#include <csignal>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "worker/finish_barrier.h"
#include "worker/lost_peer.h"
#include "worker/resume.h"
#include "worker/server_group.h"
#include "worker/worker_metrics.h"

namespace trireme {
namespace {

constexpr char kGroupIsGone[] = "the other workers are lost";

}  // namespace

AllReduceGroup::AllReduceGroup(Task& task, ClusterRuntime& runtime, ServerTraining* servers,
                               AllReduceGroupOptions options)
    : TaskGroup(task),
      runtime_(runtime),
      servers_(servers),
      options_(std::move(options)),
      votes_([this](std::span<double> values) { sum(values); },
             [this] { return std::pair(rank(), this->workers()); },
             [this] { return task_.validation_batches(0, 1).cardinality() / workers(); },
             task.options.stop) {}

bool AllReduceGroup::any_rank(bool value, const std::string& what) {
  return vote(runtime_, task_.slots->step(), what, value);
}

void AllReduceGroup::sum(std::span<double> values) {
  static const std::string kWhat = "the sums of the validation";
  runtime_.communicator().set_label(kWhat, task_.slots->step());
  runtime_.communicator().all_reduce(
      {values.data(), static_cast<int64_t>(values.size()), DType::kFloat64}, ReduceOp::kSum,
      Summation::kTree);
}

GenerationJoin AllReduceGroup::next_generation(int64_t progress, bool begins) {
  return {.runtime = runtime_,
          .servers = servers_,
          .handshake = options_.handshake,
          .resumed = options_.resumed,
          .step = task_.slots->step(),
          .progress = progress,
          .begins = begins,
          .give = {},
          .take = {}};
}

void AllReduceGroup::join(nn::FitOptions& fit) {
  const int64_t progress = fit.resume ? nn::load_progress(*fit.resume).step : 0;
  GenerationJoin join = next_generation(progress, /*begins=*/true);
  join.give = [&] { return *fit.resume; };
  join.take = [&](nn::StateMap state) {
    task_.take_preprocessing(state, "the state of another worker");
    fit.resume = std::move(state);
  };
  join_generation(join);
  const auto& asked = task_.options.resume;
  if (asked && *asked != kResumeAuto && !fit.resume) throw no_checkpoint(task_);
  if (servers_ == nullptr) return;
  const Membership& membership = runtime_.membership();
  servers_->catch_up(membership.progress);
  if (is_rank_zero()) servers_->tell_lost_steps(membership.progress);
}

void AllReduceGroup::tell_generation() const {
  const Membership& membership = runtime_.membership();
  if (options_.metrics != nullptr) {
    options_.metrics->set_generation(membership.group.generation, workers());
  }
  const std::string line = str_cat("generation ", membership.group.generation, ": ", workers(),
                                   " workers, this is rank ", rank(), "; after step ",
                                   membership.progress, "; collectives: ", runtime_.collectives());
  log_info(line);
  say(line + "\n");
}

data::Dataset AllReduceGroup::validation_batches() const {
  data::Dataset batches = TaskGroup::validation_batches();
  return servers_ == nullptr ? batches : servers_->noting_progress(batches);
}

// Rows on servers change until all workers have come here.
bool AllReduceGroup::leave_epoch(nn::Training& training, bool stopping,
                                 nn::RunningMeans& /*sums*/) {
  if (servers_ == nullptr) return false;
  static const std::string kWhat = "the end of an epoch";
  const bool any = any_rank(stopping, kWhat);
  training.changed();
  return any;
}

bool AllReduceGroup::can_recover_from(const Error& error) const { return is_lost_peer(error); }

nn::FitData AllReduceGroup::recover(nn::Training& training, const Error& error) {
  // A group can get over the loss of a member, not over that of its servers.
  if (servers_ != nullptr && servers_->fault()) throw servers_not_whole(*servers_->fault());
  rejoin(training, error, training.step());
  return {train_batches(), validation_batches()};
}

// Becomes a member of the next generation. False when there is none: a signal ended the wait for
// it, or the others did not come. Then the training stops with what is there, which is saved.
bool AllReduceGroup::rejoin(nn::Training& training, const Error& error, int64_t progress) {
  log_warning(error.what());
  runtime_.report(error);
  try {
    GenerationJoin join = next_generation(progress, /*begins=*/false);
    join.give = [&] {
      nn::StateMap state = training.state();
      FinishBarrier::mark_stopped(training, state);
      return state;
    };
    join.take = [&](const nn::StateMap& state) {
      task_.take_preprocessing(state, "the state of another worker");
      training.restore(state);
      FinishBarrier::stop_as(state, training);
    };
    join_generation(join);
  } catch (const Error& failure) {
    const bool told = failure.code() == ErrorCode::kCancelled && stopping();
    if (!told && !is_lost_peer(failure)) throw;
    training.request_stop(told ? nn::kStoppedBySignal : kGroupIsGone);
    survivor_.take_over(options_.checkpoints, told ? std::nullopt : std::optional<Error>(failure));
    return false;
  }
  if (servers_ != nullptr) servers_->catch_up(training.step());
  tell_generation();
  return true;
}

// What all workers must agree on before they go: that all of them have finished.
std::shared_ptr<nn::Callback> AllReduceGroup::make_farewell(
    std::vector<std::shared_ptr<nn::Callback>> all) {
  return std::make_shared<FinishBarrier>(
      [this] {
        if (!runtime_.connected()) return;
        static const std::string kWhat = "how the training was stopped";
        interrupted_ = any_rank(options_.stop_signal() == SIGINT, kWhat);
        runtime_.finish();
      },
      // Ahead of whoever has not finished: its state is the one that counts.
      [this, all = std::move(all)](nn::Training& training, const Error& error) {
        const bool again = rejoin(training, error, training.step() + 1);
        // Whoever is rank 0 now saves what the one before could not.
        for (const auto& callback : all) callback->on_train_end(training);
        return again;
      });
}

}  // namespace trireme
