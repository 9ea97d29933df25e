// MPI in this process: begun once, and its waits.
//
// MPI is one for the whole process, so this is too; it is used by one thread at a time. A request
// that was given up stays with MPI, whose next call could write to memory that is used for
// something else by now: so there is no next call. The session is broken, and MPI_Finalize is left
// out, upon which mpirun ends the other ranks.
#pragma once

#include <chrono>
#include <string>

#include "core/base/error.h"

namespace trireme {

class MpiSession {
 public:
  using Clock = std::chrono::steady_clock;

  // Initialises MPI at the first call, unless the program has. Throws Error{kInvalidArgument} when
  // no launcher of MPI has started this process, or MPI was finalised.
  static MpiSession& get();
  ~MpiSession();  // at the exit of the process: finalises what was initialised here
  MpiSession(const MpiSession&) = delete;

  int world_rank() const { return world_rank_; }
  int world_size() const { return world_size_; }

  // Throws Error{kUnavailable} once broken. Every MPI call of ours comes after this.
  void require_whole() const;
  bool is_whole() const { return broken_.empty(); }
  void give_up(const std::string& why);

  // Throws Error{kFailed} with MPI's text when `status` is not MPI_SUCCESS.
  static void check(int status, const char* call);

  // Calls `done` until it holds: at first without pause, then letting other threads run, at last
  // with short sleeps, so that whoever computes is not disturbed. False at the deadline.
  template <typename Done>
  static bool poll(Done done, Clock::time_point deadline) {
    if (done()) return true;
    const auto start = Clock::now();
    for (auto now = start; now < deadline; now = Clock::now()) {
      pause(now - start);
      if (done()) return true;
    }
    return false;
  }

 private:
  MpiSession();
  static void pause(Clock::duration waited);

  bool mine_ = false;  // to finalise
  int world_rank_ = 0, world_size_ = 1;
  std::string broken_;  // why; empty: it is whole
};

}  // namespace trireme
