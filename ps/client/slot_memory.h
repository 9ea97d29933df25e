// What a worker remembers of one slot, or of all: which lists of keys it has been sent, and which
// of this worker's pushes were acknowledged.
//
// Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_set>

#include "core/base/thread_annotations.h"

namespace trireme::ps {

class SlotMemory {
 public:
  // Another primary knows other lists.
  bool knows_list(int64_t epoch, uint64_t list_id) const EXCLUDES(mutex_);
  void learned_lists(int64_t epoch, std::span<const uint64_t> list_ids) EXCLUDES(mutex_);

  // Steps are pushed in order, their parts in any.
  void pushing(int64_t step) EXCLUDES(mutex_);
  void acknowledged(int64_t step, int parts) EXCLUDES(mutex_);
  // All parts of all steps up to this one; 0: none.
  int64_t acknowledged_step() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  int64_t epoch_ GUARDED_BY(mutex_) = 0;
  std::unordered_set<uint64_t> lists_ GUARDED_BY(mutex_);
  std::optional<int64_t> clock_ GUARDED_BY(mutex_);
  std::map<int64_t, int> missing_parts_ GUARDED_BY(mutex_);  // of the steps after the clock
};

}  // namespace trireme::ps
