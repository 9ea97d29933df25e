// The Lateness of a machine's threads: how much later than they should have they ran of late.
//
// Deadlines for signs of life grow with it: on a machine with more to do than it has cores, a
// process that is alive is heard of later. Not thread-safe: whoever owns it holds a lock.
#pragma once

#include <chrono>

namespace trireme {

class Lateness {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Something that was due ran so much later.
  void note(std::chrono::milliseconds late, Time now);
  // The greatest that was noted, halved for each few seconds since.
  std::chrono::milliseconds value(Time now) const;

 private:
  std::chrono::milliseconds greatest_{0};
  Time at_{};
};

// How often a member of a group of `size` beats at most: so the coordinator reads a few thousand
// beats a second in a group of any size.
std::chrono::milliseconds beat_interval(std::chrono::milliseconds wanted, int size);

}  // namespace trireme
