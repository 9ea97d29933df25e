#include "worker/evaluator_task.h"

#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/checkpoint.h"
#include "proto/job.pb.h"
#include "worker/evaluator_metrics.h"
#include "worker/job_file.h"
#include "worker/result_line.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{200};
constexpr std::chrono::minutes kReminder{10};
constexpr std::chrono::hours kPatience{24};

// Whether the training that wrote this checkpoint will write no other.
bool is_last(const job::Job& job, const std::string& prefix) {
  const io::BundleReader reader(prefix);
  const auto number = [&](const std::string& name) {
    return reader.contains(name) ? reader.read(name).item<int64_t>() : -1;
  };
  if (number("epoch") >= job.epochs()) return true;
  const int64_t patience = job.early_stopping().patience();
  return patience > 0 && number("callback/early_stopping/waited") >= patience;
}

class Evaluator {
 public:
  Evaluator(const JobFile& file, const TaskOptions& options,
            const std::function<void(const TaskResult&)>& tell)
      : file_(file), options_(options), tell_(tell) {
    if (!options.metrics) return;
    const ClusterSpec spec = resolve_cluster(options.cluster, process_environment());
    metrics_.emplace(metrics_address(*options.metrics, spec), file.job().name());
  }

  TaskResult run() {
    const std::string folder = (fs::path(file_.job().output_dir()) / "checkpoints").string();
    say("waiting for checkpoints in " + folder);
    for (auto heard = Clock::now(), reminded = heard; !stopping();) {
      bool found = false;
      for (const io::CheckpointInfo& checkpoint : io::list_checkpoints(folder)) {
        if (stopping()) break;
        found |= look_at(checkpoint);
        if (finished_) return {};
      }
      const auto now = Clock::now();
      if (found) heard = reminded = now;
      if (now - heard > kPatience) {
        throw Error(ErrorCode::kUnavailable,
                    str_cat("no new checkpoint has come in ", folder,
                            " for a day, and the last one is not that of a finished training: does "
                            "the training still run?"));
      }
      if (now - reminded > kReminder) {
        reminded = now;
        say("still waiting for the next checkpoint in " + folder);
      }
      std::this_thread::sleep_for(kPoll);
    }
    return {.json = "", .stopped = true, .where = "stopped while waiting for checkpoints"};
  }

 private:
  bool stopping() const { return options_.stop != nullptr && *options_.stop; }

  void say(const std::string& text) const {
    log_info(text);
    if (!options_.quiet) std::cerr << text << "\n";
  }

  // True when it was new. The same step may be written twice: before and after its validation.
  bool look_at(const io::CheckpointInfo& checkpoint) {
    std::error_code error;
    const auto written = fs::last_write_time(checkpoint.prefix + ".index", error);
    const auto seen = seen_.find(checkpoint.prefix);
    if (error || (seen != seen_.end() && seen->second == written)) return false;
    try {
      if (seen == seen_.end()) tell_evaluation(checkpoint);
      finished_ = is_last(file_.job(), checkpoint.prefix);
    } catch (const Error& missing) {
      // Rotated away while it was read.
      if (missing.code() != ErrorCode::kNotFound || fs::exists(checkpoint.prefix + ".index")) throw;
      log_info(str_cat("passing over ", checkpoint.prefix, ": ", missing.what()));
    }
    seen_[checkpoint.prefix] = written;
    return true;
  }

  void tell_evaluation(const io::CheckpointInfo& checkpoint) {
    TaskResult result = evaluate(file_, options_, checkpoint.prefix);
    ResultLine line = ResultLine::parse(result.json);
    line["step"] = checkpoint.step;
    line["checkpoint"] = checkpoint.prefix;
    if (metrics_) metrics_->set(checkpoint.step, result.figures);
    result.json = line.dump();
    tell_(result);
  }

  const JobFile& file_;
  const TaskOptions& options_;
  const std::function<void(const TaskResult&)>& tell_;
  std::map<std::string, fs::file_time_type> seen_;
  bool finished_ = false;
  std::optional<EvaluatorMetrics> metrics_;
};

}  // namespace

TaskResult evaluate_each_checkpoint(const JobFile& file, const TaskOptions& options,
                                    const std::function<void(const TaskResult&)>& tell) {
  return Evaluator(file, options, tell).run();
}

}  // namespace trireme
