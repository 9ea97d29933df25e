// Who waits for whom in a group, found out when a deadline has passed.
//
// A member that is asked says for whom it waits, asks that one in its turn, and passes on what it
// hears to whoever asked it. So a chain of waits is followed along connections that exist, though
// whoever asks has none to most members of the chain. Nobody asks before a deadline, after which
// the group is dead; so what was said once is never taken back.
//
// One a transport; its streams call on_asked() and on_told() on the thread that polls.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "core/base/thread_annotations.h"

namespace trireme {

class SegmentStream;

class GrpcInquiry {
 public:
  GrpcInquiry(int me, int size, int64_t generation);

  // There is a stream to this member now.
  void connect(int member, const std::shared_ptr<SegmentStream>& stream) EXCLUDES(mutex_);
  // For whom this process waits now; -1: for nobody.
  void set_waiting_for(int member) { waiting_for_.store(member, std::memory_order_relaxed); }

  // Asks this member and, through it, those that keep it waiting.
  void ask(int member) EXCLUDES(mutex_);
  // For whom the member waits: nothing when it has not said so, kNobody when it is in no call.
  std::optional<uint64_t> waits_for(int member) const EXCLUDES(mutex_);

  void on_asked(int by) EXCLUDES(mutex_);
  void on_told(uint64_t subject, uint64_t waits_for) EXCLUDES(mutex_);

 private:
  void tell(SegmentStream& stream, int subject, uint64_t waits_for) const;
  std::shared_ptr<SegmentStream> stream_to(int member) const REQUIRES(mutex_);

  const int me_;
  const int size_;
  const int64_t generation_;
  std::atomic<int> waiting_for_{-1};
  mutable Mutex mutex_;
  std::map<int, std::weak_ptr<SegmentStream>> streams_ GUARDED_BY(mutex_);
  std::set<int> askers_ GUARDED_BY(mutex_);
  std::set<int> asked_ GUARDED_BY(mutex_);
  std::map<int, uint64_t> told_ GUARDED_BY(mutex_);
};

}  // namespace trireme
