// The instructions of a plan in the order in which they are issued, and what each waits for.
// Private to the runtime.
#pragma once

#include <vector>

#include "core/runtime/plan_layout.h"

namespace trireme {

class IssueList {
 public:
  explicit IssueList(size_t devices) : streams_(devices * kStreamsPerDevice) {}

  size_t streams() const { return streams_; }
  static size_t stream_of(const Instruction& i) {
    return i.device * kStreamsPerDevice + static_cast<size_t>(i.stream);
  }
  // The number that the next instruction gets.
  int next() const { return static_cast<int>(instructions_.size()); }

  // Adds an instruction that starts when those of `depends` are done; its waits are those that do
  // not follow from others.
  void add(Instruction instruction, std::vector<int> depends);

  std::vector<Instruction>& instructions() { return instructions_; }
  const Clocks& clocks() const { return clocks_; }

 private:
  size_t streams_;
  std::vector<Instruction> instructions_;
  Clocks clocks_;
};

}  // namespace trireme
