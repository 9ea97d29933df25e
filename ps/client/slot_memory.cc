#include "ps/client/slot_memory.h"

namespace trireme::ps {
namespace {

// Lists come again within a step, or always; a server forgets the oldest too.
constexpr size_t kMostLists = 4096;

}  // namespace

bool SlotMemory::knows_list(int64_t epoch, uint64_t list_id) const {
  MutexLock lock(mutex_);
  return epoch == epoch_ && lists_.contains(list_id);
}

void SlotMemory::learned_lists(int64_t epoch, std::span<const uint64_t> list_ids) {
  MutexLock lock(mutex_);
  if (epoch != epoch_ || lists_.size() > kMostLists) lists_.clear();
  epoch_ = epoch;
  lists_.insert(list_ids.begin(), list_ids.end());
}

void SlotMemory::pushing(int64_t step) {
  MutexLock lock(mutex_);
  // What this worker did before it was started again is known to the slot itself.
  if (!clock_) clock_ = step - 1;
}

void SlotMemory::acknowledged(int64_t step, int parts) {
  MutexLock lock(mutex_);
  if (!clock_ || step <= *clock_) return;
  --missing_parts_.try_emplace(step, parts).first->second;
  for (auto it = missing_parts_.begin();
       it != missing_parts_.end() && it->first == *clock_ + 1 && it->second <= 0;) {
    ++*clock_;
    it = missing_parts_.erase(it);
  }
}

int64_t SlotMemory::acknowledged_step() const {
  MutexLock lock(mutex_);
  return clock_.value_or(0);
}

}  // namespace trireme::ps
