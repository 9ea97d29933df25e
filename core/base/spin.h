// Looking for a moment before going to sleep.
#pragma once

#include <sched.h>

#include <chrono>

#include "core/base/futex.h"

namespace trireme {

// What is awaited is often microseconds away, while sleeping and waking costs tens of them: longer
// than that nothing looks before it sleeps. Time, and not a number of looks, is the limit, because
// a pause of the processor takes 10 to 140 cycles, and because a thread that lost its core while
// it looked must not go on looking when it is back.
constexpr std::chrono::microseconds kSpin{50};

// Looks until `done()`, `limit` at most. Returns whether it is done. Does not offer the core to
// others: who goes on waiting has to sleep.
template <typename Done>
bool spin_until(Done done, std::chrono::nanoseconds limit = kSpin) {
  // A look at the clock costs as much as one of these.
  const auto look = [&] {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause_core();
    }
    return done();
  };
  if (limit.count() <= 0) return done();
  if (look()) return true;
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    if (look()) return true;
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

// Looking for what a thread of another process or a communication thread does, whose own program
// may want this core: looks for a moment, then offers the core between looks, kSpin in all at most.
// Where another program takes the offer (the core was gone for most of a turn), it looks without
// offering for a while, and much shorter: who sleeps is woken at once, who gave its core away has
// to wait for its turn. One object a waiting thread.
class YieldingSpin {
 public:
  using Clock = std::chrono::steady_clock;

  // Returns whether `done()` held in time. `is_crowded`: there are more threads than cores, so that
  // nothing changes while this one holds its core.
  template <typename Done>
  bool wait(Done done, bool is_crowded = false) {
    if (!is_crowded && spin_until(done, kAlone)) return true;
    if (done()) return true;
    auto now = Clock::now();
    if (now < contested_until_) return false;
    const auto end = now + kSpin;
    do {
      sched_yield();
      const auto back = Clock::now();
      if (back - now > kTaken) contested_until_ = back + kContested;
      now = back;
      for (int look = 0; look < 8 && !is_crowded; ++look) {
        if (done()) return true;
        pause_core();
      }
      if (done()) return true;
    } while (now < end && now >= contested_until_);
    return false;
  }

 private:
  static constexpr std::chrono::microseconds kAlone{2};
  static constexpr std::chrono::microseconds kTaken{1500};
  static constexpr std::chrono::milliseconds kContested{20};

  Clock::time_point contested_until_{};
};

}  // namespace trireme
