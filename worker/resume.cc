#include "worker/resume.h"

#include <cstdlib>
#include <iostream>

#include "core/base/logging.h"
#include "core/io/checkpoint.h"
#include "worker/farewell.h"
#include "worker/train_callbacks.h"

namespace trireme {

uint64_t incarnation() {
  for (const char* name : {"TRIREME_INCARNATION", "TORCHELASTIC_RESTART_COUNT"}) {
    const char* const text = std::getenv(name);
    if (text != nullptr && *text != '\0') return std::strtoull(text, nullptr, 10);
  }
  return 0;
}

TrainStart find_start(const Task& task) {
  const bool resume = task.options.resume;
  if (!resume && incarnation() == 0) return {};
  const std::string checkpoints = checkpoint_directory(task.file.job());
  if (io::list_checkpoints(checkpoints).empty()) {
    if (resume && !task.communicates() && task.cluster.rank == 0) throw no_checkpoint(task);
    return {};
  }
  const std::string prefix = io::resolve_checkpoint(checkpoints);
  TrainStart start{.state = io::load_checkpoint(prefix), .resumed = prefix};
  if (!resume && !RunMark::is_of(*start.state, task.run)) return {};
  const std::string line = "going on from " + prefix;
  log_info(line);
  if (task.cluster.rank == 0 && !task.options.quiet) std::cerr << line << "\n";
  return start;
}

Error no_checkpoint(const Task& task) {
  return not_found("--resume: there is no checkpoint in ", checkpoint_directory(task.file.job()),
                   task.communicates() ? " of any worker" : "", "; train without --resume first");
}

}  // namespace trireme
