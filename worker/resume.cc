#include "worker/resume.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <ranges>

#include "core/base/logging.h"
#include "core/io/checkpoint.h"
#include "proto/job.pb.h"
#include "worker/finish_barrier.h"
#include "worker/job_record.h"
#include "worker/resume_check.h"
#include "worker/rows_checkpoint.h"
#include "worker/train_callbacks.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// Nothing when `text` is no number.
std::optional<int64_t> step_in(const std::string& text) {
  int64_t step = -1;
  const char* const end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, step);
  if (error != std::errc() || behind != end || step < 0) return std::nullopt;
  return step;
}

std::string steps_of(const std::vector<io::CheckpointInfo>& all) {
  std::string text;
  for (const io::CheckpointInfo& info : all) {
    text += str_cat(text.empty() ? "" : ", ", info.step >= 0
                                                  ? std::to_string(info.step)
                                                  : fs::path(info.prefix).filename().string());
  }
  return text;
}

std::vector<std::string> newest_first(const std::vector<io::CheckpointInfo>& all) {
  std::vector<std::string> prefixes;
  for (const io::CheckpointInfo& info : std::views::reverse(all)) prefixes.push_back(info.prefix);
  return prefixes;
}

// The checkpoints that `wanted` allows, best first. Empty: none is there.
std::vector<std::string> candidates(const Task& task, const std::string& wanted) {
  const std::string directory = checkpoint_directory(task.file.job());
  const bool may_be_elsewhere = task.communicates() || task.cluster.rank != 0;
  if (wanted == kResumeNewest || wanted == kResumeAuto) {
    return newest_first(io::list_checkpoints(directory));
  }
  if (const auto step = step_in(wanted)) {
    const auto all = io::list_checkpoints(directory);
    const auto found = std::ranges::find(all, *step, &io::CheckpointInfo::step);
    if (found != all.end()) return {found->prefix};
    if (may_be_elsewhere) return {};
    throw not_found("--resume ", *step, ": there is no checkpoint of step ", *step, " in ",
                    directory, all.empty() ? ", nor any other" : "; there are those of the steps ",
                    steps_of(all));
  }
  std::error_code error;
  if (fs::is_directory(wanted, error)) {
    const auto all = io::list_checkpoints(wanted);
    if (!all.empty()) return newest_first(all);
  }
  try {
    return {io::resolve_checkpoint(wanted)};
  } catch (const Error& missing) {
    if (may_be_elsewhere) return {};
    const std::string steps = steps_of(io::list_checkpoints(directory));
    throw Error(missing.code(),
                str_cat("--resume ", missing.what(), "; in ", directory,
                        steps.empty() ? " there is none" : " there are those of the steps ", steps,
                        "; a step is named by its number"));
  }
}

// A model that was trained elsewhere says how many steps it has taken. Its place in this job's data
// is that of as many batches.
void complete_progress(const Task& task, nn::StateMap& state) {
  nn::TrainProgress progress;
  progress.step = state.at("step").item<int64_t>();
  progress.epoch = progress.step / task.steps_per_epoch;
  progress.epoch_step = progress.step % task.steps_per_epoch;
  progress.epoch_sums = nn::running_means(task.model->train_graph().forward).state();
  data::Dataset batches = task.train_batches(task.cluster.rank, task.cluster.world_size);
  if (batches.cardinality() != data::kInfinite) batches = batches.repeat();
  data::Iterator iterator = batches.iterator();
  iterator.seek(progress.step);
  progress.dataset_state = iterator.state();
  progress.random_seed = task.file.job().seed();
  nn::save_progress(progress, state);
}

// What another checkpoint may mend: this one is damaged, or was removed meanwhile.
bool is_of_the_file(const Error& error) {
  return error.code() == ErrorCode::kDataLoss || error.code() == ErrorCode::kNotFound;
}

}  // namespace

uint64_t incarnation() {
  for (const char* name : {"TRIREME_INCARNATION", "TORCHELASTIC_RESTART_COUNT"}) {
    const char* const text = std::getenv(name);
    if (text != nullptr && *text != '\0') return std::strtoull(text, nullptr, 10);
  }
  return 0;
}

namespace {

// `asked`: by the command line, which wants to hear of what is not there.
TrainStart find(const Task& task, const std::string& wanted, bool asked) {
  const std::vector<std::string> found = candidates(task, wanted);
  std::string damage;
  for (const std::string& prefix : found) {
    TrainStart start{.state = {}, .resumed = prefix};
    try {
      start.state = io::load_checkpoint(prefix);
      if (is_recorded_model(*start.state)) complete_progress(task, *start.state);
      nn::load_progress(*start.state);
      if (wanted == kResumeAuto && !RunMark::is_of(*start.state, task.run)) continue;
      verify_rows(prefix, *start.state);
    } catch (const Error& error) {
      if (!is_of_the_file(error)) throw;
      damage += str_cat(damage.empty() ? "" : "; ", error.what());
      continue;
    }
    if (asked) check_resume(task, prefix, *start.state);
    const std::string line = "going on from " + prefix;
    if (damage.empty()) {
      log_info(line);
    } else {
      log_warning(str_cat(line, ", because a newer checkpoint is damaged: ", damage));
    }
    if (task.cluster.rank == 0 && !task.options.quiet) std::cerr << line << "\n";
    return start;
  }
  if (!damage.empty() && asked) {
    const std::string others =
        steps_of(io::list_checkpoints(checkpoint_directory(task.file.job())));
    throw data_loss("--resume: ", damage,
                    found.size() > 1 ? "; no other is whole"
                                     : str_cat("; name another one: --resume STEP; in ",
                                               checkpoint_directory(task.file.job()),
                                               " there are those of the steps ", others));
  }
  if (!damage.empty()) log_warning(str_cat("beginning anew: ", damage));
  if (asked && wanted != kResumeAuto && !task.communicates() && task.cluster.rank == 0) {
    throw no_checkpoint(task);
  }
  return {};
}

}  // namespace

TrainStart find_start(const Task& task) {
  // What was saved since counts more than what the job began with.
  if (incarnation() > 0) {
    TrainStart saved = find(task, kResumeAuto, false);
    if (saved.state) return saved;
  }
  return task.options.resume ? find(task, *task.options.resume, true) : TrainStart();
}

Error no_checkpoint(const Task& task) {
  const std::string wanted = task.options.resume.value_or(kResumeNewest);
  const bool any = wanted == kResumeNewest;
  return not_found("--resume", any ? "" : " " + wanted, ": there is no ", any ? "" : "such ",
                   "checkpoint in ", checkpoint_directory(task.file.job()),
                   task.communicates() ? " of any worker" : "",
                   any ? "; train without --resume first" : "");
}

}  // namespace trireme
