#include "worker/resume.h"

#include <cstdlib>
#include <iostream>
#include <ranges>

#include "core/base/logging.h"
#include "core/io/checkpoint.h"
#include "worker/farewell.h"
#include "worker/rows_checkpoint.h"
#include "worker/train_callbacks.h"

namespace trireme {

uint64_t incarnation() {
  const char* const text = std::getenv("TRIREME_INCARNATION");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

TrainStart find_start(const Task& task) {
  const bool resume = task.options.resume;
  if (!resume && incarnation() == 0) return {};
  const std::string checkpoints = checkpoint_directory(task.file.job());
  if (io::list_checkpoints(checkpoints).empty()) {
    if (resume && !task.communicates() && task.cluster.rank == 0) throw no_checkpoint(task);
    return {};
  }
  std::string damage;
  for (const io::CheckpointInfo& info : std::views::reverse(io::list_checkpoints(checkpoints))) {
    const std::string& prefix = info.prefix;
    TrainStart start{.state = {}, .resumed = resume ? prefix : "", .checkpoint = prefix};
    try {
      start.state = io::load_checkpoint(prefix);
      if (!resume && !RunMark::is_of(*start.state, task.cluster.job_id)) continue;
      verify_rows(prefix, *start.state);
    } catch (const Error& error) {
      // Another checkpoint may be whole.
      if (error.code() != ErrorCode::kDataLoss && error.code() != ErrorCode::kNotFound) throw;
      damage += str_cat(damage.empty() ? "" : "; ", error.what());
      continue;
    }
    const std::string line = "going on from " + prefix;
    if (damage.empty()) {
      log_info(line);
    } else {
      log_warning(str_cat(line, ", because a newer checkpoint is damaged: ", damage));
    }
    if (task.cluster.rank == 0 && !task.options.quiet) std::cerr << line << "\n";
    return start;
  }
  if (resume) throw data_loss("--resume: no checkpoint in ", checkpoints, " is whole: ", damage);
  if (!damage.empty()) log_warning(str_cat("beginning anew: ", damage));
  return {};
}

Error no_checkpoint(const Task& task) {
  return not_found("--resume: there is no checkpoint in ", checkpoint_directory(task.file.job()),
                   task.communicates() ? " of any worker" : "", "; train without --resume first");
}

}  // namespace trireme
