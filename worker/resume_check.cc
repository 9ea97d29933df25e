#include "worker/resume_check.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/strategy/strategies.h"
#include "proto/job.pb.h"
#include "worker/job_record.h"

namespace trireme {
namespace {

enum class Verdict {
  kGoesOn,   // as documented
  kChanges,  // a user may not have meant it
  kRefused,  // the saved state means something else now
};

struct Effect {
  Verdict verdict;
  std::string text;
};

class Check {
 public:
  Check(const Task& task, nn::StateMap& state)
      : task_(task), job_(task.file.job()), state_(state), progress_(nn::load_progress(state)) {}

  // Nothing: the position is that of this data set. Else why it is not.
  std::optional<std::string> lost_position() const {
    try {
      task_.train_batches(task_.cluster.rank, task_.cluster.world_size)
          .iterator()
          .restore(progress_.dataset_state);
      return std::nullopt;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      return error.what();
    }
  }

  Effect effect_of(const JobDifference& difference, bool position_is_lost) const {
    const std::string& field = difference.field;
    const auto is = [&](std::string_view start) { return field.starts_with(start); };
    const std::string from = str_cat("from step ", progress_.step + 1, " on ");
    if (field == "batch_size" || field == "seed" || is("data.") || is("data_sharding") ||
        field == "training examples") {
      return of_data(field, position_is_lost, from);
    }
    if (field == "strategy" || field == "workers") return of_cluster(difference);
    if (field == "epochs") return of_epochs();
    if (field == "steps_per_epoch" || field == "steps of an epoch") return of_steps();
    if (is("model.")) {
      return {Verdict::kChanges, from + "the model computes this with the weights that it has"};
    }
    if (is("loss.") || is("metrics")) {
      return {Verdict::kRefused,
              "the epochs before were measured by another, in log.csv and for "
              "what is the best"};
    }
    if (field == "optimizer.kind") {
      return {Verdict::kRefused, "what it remembers of earlier gradients is the other one's"};
    }
    if (field.ends_with("momentum") && is("optimizer.") &&
        (is_zero(difference.then) || is_zero(difference.now))) {
      return {Verdict::kRefused, "without momentum nothing of earlier gradients is kept"};
    }
    if (is("optimizer.")) {
      return {Verdict::kChanges,
              str_cat(from, "it holds; the learning rate of that step is ", rate_now())};
    }
    if (is("early_stopping.monitor")) {
      return {Verdict::kChanges, "the best so far is forgotten: it was of another value"};
    }
    if (is("early_stopping.")) return {Verdict::kGoesOn, from + "it holds"};
    if (is_of_no_effect(field)) return {Verdict::kGoesOn, "what is learned is the same"};
    return {Verdict::kChanges,
            from + "it holds, so the losses are not those of a training that never stopped"};
  }

  void take_out_what_is_stale(const std::vector<JobDifference>& differences) const {
    const bool other_value = std::ranges::any_of(differences, [](const JobDifference& difference) {
      return difference.field == "early_stopping.monitor";
    });
    if (!other_value) return;
    std::erase_if(state_, [](const auto& entry) {
      return entry.first.starts_with("callback/early_stopping/");
    });
  }

  bool is_finished() const { return progress_.epoch >= job_.epochs(); }
  std::string nothing_left() const {
    return str_cat("the checkpoint has ", progress_.epoch,
                   " finished epochs, so nothing is left to train");
  }

 private:
  static bool is_zero(const std::string& value) { return value == "0"; }

  static bool is_of_no_effect(std::string_view field) {
    if (field.starts_with("distributed.tls")) return true;
    if (field == "allow_nan" || field == "device" || field == "soft_placement") return true;
    constexpr std::string_view kPlaces[] = {"distributed.backend",
                                            "distributed.bucket_mib",
                                            "distributed.first_bucket_mib",
                                            "distributed.threads",
                                            "distributed.min_workers",
                                            "parameter_servers.connections",
                                            "parameter_servers.no_shared_memory"};
    return field.ends_with("_s") || std::ranges::find(kPlaces, field) != std::end(kPlaces);
  }

  std::string rate_now() const {
    return str_cat(task_.model->compiled().optimizer->learning_rate(progress_.step));
  }

  Effect of_data(const std::string& field, bool position_is_lost, const std::string& from) const {
    if (field.starts_with("data.validation") || field.find("validation_file") != field.npos ||
        field.find("test_file") != field.npos) {
      return {Verdict::kChanges, "what is validated is other data than before"};
    }
    if (position_is_lost) {
      return {Verdict::kRefused, "the checkpoint's position is one in the order of other batches"};
    }
    if (field == "seed") {
      return {Verdict::kChanges, "dropout differs from that of a training that never stopped"};
    }
    return {Verdict::kChanges, from + "the examples are those"};
  }

  Effect of_cluster(const JobDifference& difference) const {
    if (difference.field == "strategy") {
      const StrategyDef* const then = find_strategy_or_null(difference.then);
      if (then == nullptr) return {Verdict::kRefused, "this program does not know the former"};
      if (then->uses_servers || task_.strategy_def->uses_servers) {
        return {Verdict::kRefused, "what is on parameter servers and what on workers is another"};
      }
    }
    return {Verdict::kGoesOn, "results are equal but for rounding and dropout"};
  }

  Effect of_epochs() const {
    if (is_finished()) return {Verdict::kChanges, nothing_left()};
    const bool whole_run = task_.file.number("optimizer.schedule.cosine.steps") == 0;
    if (whole_run) {
      return {Verdict::kChanges, str_cat("the cosine schedule is one over all ", job_.epochs(),
                                         " epochs now; the learning rate of step ",
                                         progress_.step + 1, " is ", rate_now())};
    }
    return {Verdict::kGoesOn, str_cat("it trains to the end of epoch ", job_.epochs())};
  }

  Effect of_steps() const {
    if (task_.uses_servers() || progress_.epoch_step >= task_.steps_per_epoch) {
      return {Verdict::kRefused, "an epoch that has begun cannot end at another step"};
    }
    return {Verdict::kChanges, "epochs end at other steps than before"};
  }

  const Task& task_;
  const job::Job& job_;
  nn::StateMap& state_;
  const nn::TrainProgress progress_;
};

std::string sentence(const JobDifference& difference, const Effect& effect) {
  return str_cat(difference.field, ": ", difference.then, " → ", difference.now, " (", effect.text,
                 ")");
}

// Sizes that are others because a field of the job is another.
void drop_what_follows(std::vector<JobDifference>& differences) {
  const bool explained = std::ranges::any_of(differences, [](const JobDifference& difference) {
    return difference.field == "batch_size" || difference.field == "steps_per_epoch" ||
           difference.field.starts_with("data.");
  });
  if (!explained) return;
  std::erase_if(differences, [](const JobDifference& difference) {
    return difference.field == "training examples" || difference.field == "steps of an epoch";
  });
}

}  // namespace

void check_resume(const Task& task, const std::string& checkpoint, nn::StateMap& state) {
  const Check check(task, state);
  const auto lost_position = check.lost_position();
  std::string refused, changed, kept;
  const auto add = [](std::string& list, const std::string& text) {
    list += (list.empty() ? "" : "; ") + text;
  };
  bool explains_position = false;
  std::vector<JobDifference> differences =
      compare_with_record(task, state).value_or(std::vector<JobDifference>{});
  drop_what_follows(differences);
  for (const JobDifference& difference : differences) {
    const Effect effect = check.effect_of(difference, lost_position.has_value());
    const bool is_refused = effect.verdict == Verdict::kRefused;
    add(is_refused                            ? refused
        : effect.verdict == Verdict::kChanges ? changed
                                              : kept,
        sentence(difference, effect));
    explains_position |= is_refused;
  }
  if (lost_position && !explains_position) {
    add(refused,
        "the training data: they have other sizes or types, are shuffled or read in "
        "another way than when it was written");
  }
  if (!refused.empty()) {
    throw invalid_argument(
        "--resume: cannot go on from ", checkpoint, " with what is different now: ", refused,
        "; give what it was written with (e.g. --set batch_size=…), or train anew in another "
        "folder (--output-dir) or in place of it (--overwrite)");
  }
  check.take_out_what_is_stale(differences);
  if (check.is_finished() && changed.find("nothing is left") == std::string::npos) {
    add(changed, check.nothing_left());
  }
  const bool is_rank_zero = task.cluster.rank == 0;
  if (!changed.empty()) {
    const std::string line = str_cat("--resume, from ", checkpoint, ": ", changed);
    is_rank_zero ? log_warning(line) : log_info(line);
  }
  if (!kept.empty()) {
    log_info("also different: " + kept);
    if (is_rank_zero && !task.options.quiet) std::cerr << "also different: " << kept << "\n";
  }
}

void check_schedule(const Task& task) {
  const auto steps = task.file.number("optimizer.schedule.cosine.steps");
  const auto minimum = task.file.number("optimizer.schedule.cosine.minimum");
  const int64_t whole = task.steps_per_epoch * task.file.job().epochs();
  if (!steps || *steps == 0 || *steps >= static_cast<double>(whole) || task.cluster.rank != 0) {
    return;
  }
  log_warning(str_cat(
      "the cosine schedule ends at step ", static_cast<int64_t>(*steps), " of ", whole,
      "; from there on the learning rate is ", *minimum,
      *minimum == 0 ? ", so that nothing is learned" : "",
      "; set optimizer.schedule.cosine.steps to the steps of the whole run, or to 0 for that"));
}

}  // namespace trireme
