// A lock on a folder, held by one process of one job at a time, over all hosts that see the folder.
//
// The file FOLDER/.trireme.lock names the holder: process, host, job, and since when. On its own
// host the holder has the file locked (flock), and its process can be looked for; for other hosts
// it renews the file's time every few seconds. A holder that is gone is replaced, with a line in
// the log: at once when it was of this host, when its lease has run out when it was of another.
//
// Processes of one job share the lock: it stays with the one that has it, and when that one ends,
// another takes it within a renewal.
//
// One object a folder and process; its methods may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/base/error.h"

namespace trireme::io {

struct FolderLockOptions {
  std::string job;  // names the job on all hosts; empty: this process is all of it
  std::chrono::milliseconds renewal{5'000};
  std::chrono::milliseconds lease{30'000};  // without a renewal a holder of another host is gone
};

class FolderLock {
 public:
  // Takes the lock, or shares it with a process of the same job. REQUIRES: the folder exists.
  // Throws Error{kInvalidArgument} that names the holder, and what AtomicFile throws.
  FolderLock(const std::string& folder, FolderLockOptions options);
  ~FolderLock();  // gives it up
  FolderLock(const FolderLock&) = delete;

  // Throws Error{kFailed} that names the new holder when another job has the lock now: this process
  // was stopped for longer than the lease. Call it before each write that must not meet another's.
  void check() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::io
