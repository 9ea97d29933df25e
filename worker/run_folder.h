// The output folder of a training: locked for its job, and holding one run. Private to worker/ and
// launcher/.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/io/folder_lock.h"
#include "core/nn/callbacks.h"
#include "distributed/cluster/cluster_spec.h"

namespace trireme {

// What a new run does where an earlier one has left its log or its checkpoints.
enum class EarlierRun { kRefuse, kRemove };

// Throws Error{kInvalidArgument} that names the three ways out when `output_dir` has the log or the
// checkpoints of an earlier run. A folder that is not there has none.
void refuse_earlier_run(const std::string& output_dir);

// What names the job of a task to RunFolder.
std::string job_of_processes(const ClusterSpec& cluster);

class RunFolder {
 public:
  // `job`: of all its processes; empty: this process is all of it.
  RunFolder(std::string output_dir, std::string job);

  // Makes the folder and locks it, unless this process has done so; to be called by whoever writes.
  // Throws what FolderLock throws.
  void hold();
  bool is_held() const { return lock_.has_value(); }
  // For a training that begins, after hold(): an earlier run is refused (refuse_earlier_run), or
  // what Trireme wrote of it is removed, and nothing else.
  void begin(EarlierRun earlier);
  // Whether this run goes on here from that checkpoint; "": from what other workers have.
  bool has(const std::string& checkpoint) const;
  // Before each write: see FolderLock::check().
  void check() const;

 private:
  const std::string output_dir_, job_;
  std::optional<io::FolderLock> lock_;
};

// Holds the folder while this process is the one that writes, whichever of the job's workers that
// is at the moment. The first callback, so that the others write into a folder that is theirs.
class HoldsRunFolder : public nn::Callback {
 public:
  // `writes`: asked each time. `folder` must outlive the callback.
  HoldsRunFolder(RunFolder& folder, std::function<bool()> writes)
      : folder_(folder), writes_(std::move(writes)) {}
  void on_train_begin(nn::Training&) override { check(); }
  void on_epoch_begin(nn::Training&) override { check(); }
  void on_batch_end(nn::Training&, nn::Logs) override {
    if (!folder_.is_held() && writes_()) folder_.hold();
  }
  void on_epoch_end(nn::Training&, nn::Logs) override { check(); }
  void on_train_end(nn::Training&) override { check(); }

 private:
  void check() {
    if (!writes_()) return;
    folder_.hold();
    folder_.check();
  }

  RunFolder& folder_;
  std::function<bool()> writes_;
};

}  // namespace trireme
