// A worker whose group does not form again: it has the whole state, and saves it before it ends.
//
// Several may survive, with one folder of checkpoints: they save one after another, and who finds
// its step saved leaves it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "core/base/error.h"

namespace trireme {

class Survivor {
 public:
  Survivor() = default;
  ~Survivor();
  Survivor(const Survivor&) = delete;

  // From now on this worker speaks for the job. `cause`: why the group does not form; nothing: the
  // task was told to stop. Waits for its turn to save in that folder, for a minute at most; does
  // not throw: without a lock it saves nevertheless.
  void take_over(const std::string& checkpoints, std::optional<Error> cause) noexcept;

  bool is_alone() const { return alone_; }
  const std::optional<Error>& cause() const { return cause_; }
  // The cause with what became of the state, to be thrown at the end. REQUIRES: cause().
  Error end(const std::string& what_was_saved) const;

 private:
  bool alone_ = false;
  std::optional<Error> cause_;
  int lock_ = -1;
};

}  // namespace trireme
