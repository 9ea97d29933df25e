// Where the ranks of one machine see how far each of them is: a counter a rank, which only grows.
//
// A rank publishes a stage when what it wrote for the others is complete, and waits until all
// others have published as many; never for more than it has published itself. So the ranks with the
// lowest stage are those that keep all others waiting, however long the chain.
//
// The cells lie in memory that all ranks map, or share as threads; they are all that is shared. A
// StageBoard is one rank's view, used by the thread that communicates; wake_all() and
// say_farewell() by any.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/spin.h"
#include "core/base/thread_annotations.h"

namespace trireme {

// All zero at first.
struct alignas(128) StageCell {
  std::atomic<uint32_t> stage;
  std::atomic<uint32_t> sleepers;                // on `stage`
  std::array<std::atomic<uint64_t>, 2> call;     // what the rank's odd and even calls are
  alignas(128) std::atomic<uint32_t> departure;  // 0; 1: being written; else 2 + its code
  std::array<char, 508> farewell_text;           // ends with a zero
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

class StageBoard {
 public:
  // `cells`: one a rank, outliving the board. `cores`: that the ranks have between them; with fewer
  // than ranks, who waits gives way at once.
  StageBoard(StageCell* cells, int rank, int size, int cores);

  StageCell& cell(int rank) const { return cells_[rank]; }
  uint32_t stage() const { return stage_; }

  void publish();
  // Whether all ranks have published as many stages as this one; waits for a moment, 50 ms at most,
  // for that.
  bool wait_briefly();
  // Those that have published fewer stages than this one.
  std::vector<int> missing() const;
  // Those with the lowest stage.
  std::vector<int> last() const;

  // Ends the wait of this rank, and makes those who wait for it look.
  void wake_all();
  // Tells the others, once, why this rank will publish no more.
  void say_farewell(const Error& cause) EXCLUDES(farewell_mutex_);
  std::optional<Error> farewell_of(int rank) const;

 private:
  bool reached(int rank) const {
    const uint32_t theirs = cells_[rank].stage.load(std::memory_order_acquire);
    return static_cast<int32_t>(theirs - stage_) >= 0;  // counters wrap around
  }

  StageCell* const cells_;
  const int rank_;
  const int size_;
  const bool crowded_;
  YieldingSpin spin_;
  uint32_t stage_ = 0;
  Mutex farewell_mutex_;
};

}  // namespace trireme
