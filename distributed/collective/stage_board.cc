#include "distributed/collective/stage_board.h"

#include <algorithm>
#include <cstring>

#include "core/base/futex.h"
#include "core/base/spin.h"

namespace trireme {
namespace {

constexpr std::chrono::milliseconds kSleep{50};

}  // namespace

StageBoard::StageBoard(StageCell* cells, int rank, int size, int cores)
    : cells_(cells), rank_(rank), size_(size), crowded_(size > cores) {}

void StageBoard::publish() {
  StageCell& mine = cells_[rank_];
  // Sequentially consistent with the sleeper's count: either it sees the stage or we see it.
  mine.stage.store(++stage_, std::memory_order_seq_cst);
  if (mine.sleepers.load(std::memory_order_seq_cst) > 0) futex_wake_all(mine.stage);
}

bool StageBoard::wait_briefly() {
  bool slept = false;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_ || reached(peer)) continue;
    if (!slept && spin_.wait([&] { return reached(peer); }, crowded_)) continue;
    if (reached(peer)) continue;
    if (slept) return false;  // one sleep a call, so that the caller looks around in time
    slept = true;
    StageCell& theirs = cells_[peer];
    theirs.sleepers.fetch_add(1, std::memory_order_seq_cst);
    const uint32_t seen = theirs.stage.load(std::memory_order_seq_cst);
    if (static_cast<int32_t>(seen - stage_) < 0) futex_wait(theirs.stage, seen, kSleep);
    theirs.sleepers.fetch_sub(1, std::memory_order_seq_cst);
    if (!reached(peer)) return false;
  }
  return true;
}

std::vector<int> StageBoard::missing() const {
  std::vector<int> ranks;
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_ && !reached(peer)) ranks.push_back(peer);
  }
  return ranks;
}

std::vector<int> StageBoard::last() const {
  std::vector<int> ranks;
  int32_t lowest = 0;  // relative to this rank
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const uint32_t theirs = cells_[peer].stage.load(std::memory_order_acquire);
    const auto distance = static_cast<int32_t>(theirs - stage_);
    if (distance < lowest) {
      lowest = distance;
      ranks.clear();
    }
    if (distance == lowest && distance < 0) ranks.push_back(peer);
  }
  return ranks;
}

void StageBoard::wake_all() {
  for (int peer = 0; peer < size_; ++peer) futex_wake_all(cells_[peer].stage);
}

void StageBoard::say_farewell(const Error& cause) {
  MutexLock lock(farewell_mutex_);
  StageCell& mine = cells_[rank_];
  if (mine.departure.load(std::memory_order_relaxed) != 0) return;
  mine.departure.store(1, std::memory_order_relaxed);
  const size_t length = std::min(std::strlen(cause.what()), mine.farewell_text.size() - 1);
  std::memcpy(mine.farewell_text.data(), cause.what(), length);
  mine.farewell_text[length] = '\0';
  mine.departure.store(2 + static_cast<uint32_t>(cause.code()), std::memory_order_release);
}

std::optional<Error> StageBoard::farewell_of(int rank) const {
  const StageCell& theirs = cells_[rank];
  const uint32_t mark = theirs.departure.load(std::memory_order_acquire);
  if (mark < 2 || mark > 2 + static_cast<uint32_t>(ErrorCode::kInternal)) return std::nullopt;
  const auto* end = std::find(theirs.farewell_text.begin(), theirs.farewell_text.end(), '\0');
  return Error(static_cast<ErrorCode>(mark - 2),
               std::string(theirs.farewell_text.data(),
                           static_cast<size_t>(end - theirs.farewell_text.begin())));
}

}  // namespace trireme
