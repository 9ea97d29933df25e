// The threads that compute: one set of helpers in a process, whoever calls.
//
// A region is a number of parts, each of which runs once. The caller works on its own region; a
// helper takes parts of any region that has some left. So a part whose thread has no core at the
// moment is done by whoever has one, and a caller never waits for parts that nobody has begun. A
// thread that waits looks for a moment, then sleeps; the moment is shorter while other programs
// want the cores. OMP_WAIT_POLICY, which users of OpenMP know, changes that: `passive` sleeps at
// once, `active` never does.
//
// Any thread may call, many at once. A part must not start a region: is_inside() says that the
// calling thread runs a part. Helpers are started when they are first needed, live as long as the
// process, and take no signals. A child of fork() starts its own.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "core/base/parallel.h"

namespace trireme {

// Where the parts of one run_together() wait for each other; each must come the same number of
// times.
class TeamBarrier {
 public:
  explicit TeamBarrier(int parts) : parts_(static_cast<uint32_t>(parts)) {}
  void wait();

 private:
  const uint32_t parts_;
  std::atomic<uint32_t> arrived_{0}, round_{0}, sleepers_{0};
};

class ComputePool {
 public:
  static constexpr int kMaxParts = 1024;

  static ComputePool& instance();
  ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  // Runs body(0) … body(parts - 1) on at most `threads` threads, the caller's among them.
  // REQUIRES: 1 ≤ parts ≤ kMaxParts; `body` neither throws nor waits for another part.
  void run(int parts, int threads, FunctionRef<void(int)> body);

  // The same on exactly `parts` threads, so that parts may wait for each other. One such region
  // runs at a time: two that share the helpers could each wait for the other's.
  void run_together(int parts, FunctionRef<void(int)> body);

  // Starts what `threads` threads need, if it does not run yet.
  // Throws Error{kResourceExhausted} where the system gives no more threads.
  void start_helpers(int threads);

  // Whether the calling thread runs a part.
  static bool is_inside();

 private:
  friend class TeamBarrier;

  // A region that runs. `region` names it: a number that is drawn anew each time, the threads that
  // may take part, and the parts; 0: none. claims[i] is the number while nobody has begun part i.
  struct alignas(64) Slot {
    std::atomic<bool> is_taken{false};
    const FunctionRef<void(int)>* body = nullptr;
    alignas(64) std::atomic<uint64_t> region{0};
    alignas(64) std::atomic<uint32_t> unfinished{0};
    std::atomic<bool> caller_sleeps{false};
    alignas(64) std::array<std::atomic<uint32_t>, kMaxParts> claims{};
  };
  static constexpr int kSlots = 8;  // the first is for regions whose parts run together

  // Looks for as long as it is worth, no longer. Returns whether `done()`; else the caller sleeps.
  // Helpers find out for all whether others want the cores: a caller has waits of its own, which
  // look the same.
  template <typename Done>
  bool look(Done done, bool is_helper = false);
  void run_in(Slot& slot, int parts, int threads, FunctionRef<void(int)> body);
  bool take_parts(Slot& slot, int thread);
  bool help(int thread);
  [[noreturn]] void work(int thread);
  void announce(int helpers, int threads);
  void wait_for_news(uint32_t seen);
  void wait_for_others(Slot& slot);

  const std::chrono::nanoseconds look_;
  std::atomic<int64_t> contested_until_{0};  // nanoseconds of the steady clock
  std::atomic<uint32_t> next_number_{0};
  alignas(64) std::atomic<uint32_t> news_{0};  // counts regions
  alignas(64) std::atomic<uint32_t> sleepers_{0};
  std::array<Slot, kSlots> slots_;
  std::mutex together_;
  std::mutex starting_;
  std::atomic<int> threads_{1};
};

}  // namespace trireme
