// The StallDetector: which ranks of a generation keep the others waiting.
//
// Fed with the members' beats; has no clock, thread or network of its own. Not thread-safe: whoever
// owns it holds a lock.
//
// A rank waits when its last beat says that it is inside a collective. The others are missing when
// they have not entered that collective, or have not beaten for `silence`: a process that is
// stopped inside a collective says nothing, and looks from its last beat like one that waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "distributed/cluster/peer.h"

namespace trireme {

// What a member said last.
struct MemberBeat {
  uint64_t entered = 0;
  uint64_t finished = 0;
  int64_t step = 0;
  std::string what;
  std::chrono::milliseconds waiting{0};  // inside the collective `entered`, when it beat
  bool is_waiting() const { return entered != finished; }
};

class StallDetector {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Limits {
    std::chrono::milliseconds warning;  // reported when so late, again each time as much has passed
    std::chrono::milliseconds timeout;  // given up when so late
    std::chrono::milliseconds silence;  // without a beat for so long: missing
  };
  struct Report {
    std::string message;
    bool expired = false;  // past the timeout
    std::vector<int> missing;
    std::vector<int> silent;  // of the missing ranks, those that do not beat
  };

  explicit StallDetector(const Limits& limits) : limits_(limits) {}

  // A new generation: all ranks count as heard of now.
  void reset(const std::vector<Peer>& peers, Time now);
  void beat(int rank, const MemberBeat& beat, Time now);
  // What the members said until now waits to be read: they were not silent.
  void excuse(Time now);
  // Said goodbye: it is not expected to beat any more.
  void leave(int rank);
  // To be called often; a report at most once for each `warning` that a collective is late.
  std::optional<Report> check(Time now);

  Time heard(int rank) const { return ranks_[static_cast<size_t>(rank)].heard; }
  // "at step 841, in bucket 3 (…)", "before its first collective"
  std::string where(int rank) const;

 private:
  struct Rank {
    Peer peer;
    MemberBeat beat;
    Time heard;
    bool left = false;
  };
  std::string describe(const Rank& first, std::chrono::milliseconds late,
                       const std::vector<int>& missing) const;
  std::string describe_deadlock(const Rank& first, std::chrono::milliseconds late,
                                const std::vector<const Rank*>& waiting) const;

  const Limits limits_;
  std::vector<Rank> ranks_;
  uint64_t reported_ = 0;  // the collective of the last report
  std::chrono::milliseconds next_report_{0};
};

}  // namespace trireme
