// The state of a sweep on the disk, for one of the processes that run its trials.
//
// A process that has the sweep to itself holds its folder all the time; tasks of an array hold it
// for each transaction. Which of them is still there is told by a lock of its own,
// DIR/runners/ID. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/io/folder_lock.h"
#include "launcher/sweep/journal.h"
#include "launcher/sweep/state.h"

namespace trireme::sweep {

enum class Sharing { kAlone, kTogether };

class Store {
 public:
  // Takes the folder, reads the journal, and notes as interrupted what runners were at that are
  // gone. REQUIRES: the folder exists; both outlive the object. Throws Error{kInvalidArgument}
  // naming the process that holds it, or that still runs trials of it where this one is to be
  // alone.
  Store(std::string folder, const Plan& plan, Sharing sharing);
  ~Store();
  Store(const Store&) = delete;

  const SweepState& state() const { return state_; }
  const std::string& runner() const { return runner_; }

  // Calls `action` with the state as it is on the disk and nobody else changing it. Throws
  // Error{kDeadlineExceeded} when others hold the folder for too long.
  void transaction(const std::function<void()>& action);
  // REQUIRES: within a transaction.
  void record(const Event& event);
  // Notes as interrupted the trials of runners that are gone; false: there are none. REQUIRES:
  // within a transaction.
  bool take_over();

 private:
  bool is_gone(const std::string& runner) const;
  std::string folder_of(const std::string& runner) const;

  const std::string folder_;
  const Sharing sharing_;
  const std::string runner_;
  std::unique_ptr<io::FolderLock> folder_lock_, runner_lock_;
  Journal journal_;
  SweepState state_;
};

}  // namespace trireme::sweep
