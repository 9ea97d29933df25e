#include "core/base/compute_pool.h"

#include <pthread.h>
#include <signal.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/futex.h"
#include "core/base/spin.h"

namespace trireme {
namespace {

thread_local bool t_inside = false;

std::atomic<ComputePool*> g_pool{nullptr};

// While nobody else wants the cores, looking costs nothing, and waking a core that has gone idle
// costs up to a hundred microseconds, on virtual machines above all. Where others want them,
// looking takes from the time that this process gets, also of the thread that is awaited.
constexpr std::chrono::microseconds kLook{200}, kLookWhereContested{20};
constexpr std::chrono::milliseconds kContested{50};  // a core is, after a thread has lost it
constexpr std::chrono::milliseconds kTurn{1};        // the least that another program has it

std::chrono::nanoseconds look_of_environment() {
  const char* const policy = std::getenv("OMP_WAIT_POLICY");
  if (policy != nullptr && strcasecmp(policy, "passive") == 0) return {};
  if (policy != nullptr && strcasecmp(policy, "active") == 0) return std::chrono::hours(1);
  return kLook;
}

// How long the calling thread has slept of its own will; only helpers keep it.
thread_local int64_t t_slept = 0;

int64_t nanoseconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// Whether another program has had the calling thread's core since it was here before. The kernel
// borrows it all the time, but not for so long.
bool has_lost_core() {
  struct Seen {
    long switches = 0;
    int64_t wall = 0, ran = 0, slept = 0;
  };
  thread_local Seen t_seen;
  rusage use{};
  getrusage(RUSAGE_THREAD, &use);
  if (use.ru_nivcsw == t_seen.switches) return false;
  const Seen now = {use.ru_nivcsw, nanoseconds_of(CLOCK_MONOTONIC),
                    nanoseconds_of(CLOCK_THREAD_CPUTIME_ID), t_slept};
  const Seen before = std::exchange(t_seen, now);
  const int64_t was_away =
      now.wall - before.wall - (now.ran - before.ran) - (now.slept - before.slept);
  return before.wall != 0 && was_away > std::chrono::nanoseconds(kTurn).count();
}

struct Region {
  uint32_t number;
  int threads, parts;

  static Region unpack(uint64_t word) {
    return {static_cast<uint32_t>(word >> 32), static_cast<int>(word >> 16 & 0xffff),
            static_cast<int>(word & 0xffff)};
  }
  uint64_t pack() const {
    return uint64_t{number} << 32 | static_cast<uint64_t>(threads) << 16 |
           static_cast<uint64_t>(parts);
  }
};

}  // namespace

template <typename Done>
bool ComputePool::look(Done done, bool is_helper) {
  const auto first = std::min<std::chrono::nanoseconds>(look_, kLookWhereContested);
  if (spin_until(done, first)) return true;
  if (look_ <= first) return false;
  if (look_ > kLook) return spin_until(done, look_);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  if (is_helper && has_lost_core()) {
    contested_until_.store((now + kContested).count(), std::memory_order_relaxed);
    return false;
  }
  if (now.count() < contested_until_.load(std::memory_order_relaxed)) return false;
  return spin_until(done, look_ - first);
}

void TeamBarrier::wait() {
  const uint32_t round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parts_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) futex_wake_own(round_, INT32_MAX);
    return;
  }
  const auto is_over = [&] { return round_.load(std::memory_order_acquire) != round; };
  if (ComputePool::instance().look(is_over)) return;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  while (round_.load(std::memory_order_seq_cst) == round) futex_wait_own(round_, round);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

ComputePool& ComputePool::instance() {
  ComputePool* pool = g_pool.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  // Never deleted: helpers may run until the process ends.
  auto fresh = std::make_unique<ComputePool>();
  if (g_pool.compare_exchange_strong(pool, fresh.get(), std::memory_order_acq_rel)) {
    // The child of a fork has none of the threads.
    [[maybe_unused]] static const int once =
        pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr, std::memory_order_release); });
    return *fresh.release();
  }
  return *pool;
}

ComputePool::ComputePool() : look_(look_of_environment()) {}

bool ComputePool::is_inside() { return t_inside; }

void ComputePool::start_helpers(int threads) {
  if (threads_.load(std::memory_order_acquire) >= threads) return;
  std::lock_guard lock(starting_);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string refused;
  try {
    for (int next = threads_.load(); next < threads; ++next) {
      std::thread helper([this, next] { work(next); });
      pthread_setname_np(helper.native_handle(), str_cat("compute ", next).c_str());
      helper.detach();
      threads_.store(next + 1, std::memory_order_release);
    }
  } catch (const std::system_error& error) {
    refused = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (refused.empty()) return;
  throw Error(ErrorCode::kResourceExhausted,
              str_cat("expected to start ", threads, " compute threads, the system allows ",
                      threads_.load(), " (", refused, "); ask for fewer with --threads"));
}

void ComputePool::run(int parts, int threads, FunctionRef<void(int)> body) {
  start_helpers(threads);
  for (size_t i = 1; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.is_taken.load(std::memory_order_relaxed) ||
        slot.is_taken.exchange(true, std::memory_order_acquire)) {
      continue;
    }
    run_in(slot, parts, threads, body);
    slot.is_taken.store(false, std::memory_order_release);
    return;
  }
  // More callers than slots keep the cores busy by themselves.
  t_inside = true;
  for (int part = 0; part < parts; ++part) body(part);
  t_inside = false;
}

void ComputePool::run_together(int parts, FunctionRef<void(int)> body) {
  start_helpers(parts);
  std::lock_guard lock(together_);
  run_in(slots_[0], parts, parts, body);
}

void ComputePool::run_in(Slot& slot, int parts, int threads, FunctionRef<void(int)> body) {
  uint32_t number = 0;
  while (number == 0) number = next_number_.fetch_add(1, std::memory_order_relaxed) + 1;
  slot.body = &body;
  slot.unfinished.store(static_cast<uint32_t>(parts), std::memory_order_relaxed);
  for (int part = 0; part < parts; ++part) {
    slot.claims[static_cast<size_t>(part)].store(number, std::memory_order_relaxed);
  }
  slot.region.store(Region{number, threads, parts}.pack(), std::memory_order_release);
  announce(std::min(parts, threads) - 1, threads);
  take_parts(slot, 0);
  slot.region.store(0, std::memory_order_relaxed);
  wait_for_others(slot);
}

// Each thread begins with a share of its own, so that it finds in its caches what it wrote in the
// region before; then it takes from the ends of the others' shares.
bool ComputePool::take_parts(Slot& slot, int thread) {
  const uint64_t word = slot.region.load(std::memory_order_acquire);
  if (word == 0) return false;
  const Region region = Region::unpack(word);
  if (thread >= region.threads) return false;
  bool took = false;
  const auto take = [&](int part) {
    auto& claim = slot.claims[static_cast<size_t>(part)];
    uint32_t expected = region.number;
    if (claim.load(std::memory_order_relaxed) != expected) return;
    if (!claim.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return;
    // From here on the region cannot end before this part does, so its body is there.
    took = true;
    t_inside = true;
    (*slot.body)(part);
    t_inside = false;
    if (slot.unfinished.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
        slot.caller_sleeps.load(std::memory_order_seq_cst)) {
      futex_wake_own(slot.unfinished, 1);
    }
  };
  const int begin = region.parts * thread / region.threads;
  const int end = region.parts * (thread + 1) / region.threads;
  for (int part = begin; part < end; ++part) take(part);
  for (int part = region.parts; part-- > end;) take(part);
  for (int part = begin; part-- > 0;) take(part);
  return took;
}

bool ComputePool::help(int thread) {
  bool took = false;
  for (Slot& slot : slots_) took |= take_parts(slot, thread);
  return took;
}

void ComputePool::work(int thread) {
  while (true) {
    const uint32_t seen = news_.load(std::memory_order_acquire);
    if (!help(thread)) wait_for_news(seen);
  }
}

// Sequentially consistent with wait_for_news(): either it sees the news or this sees the sleeper.
void ComputePool::announce(int helpers, int threads) {
  news_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) == 0) return;
  // Where there are helpers that may not take part, a wake-up could go to one of them.
  const bool wake_all = threads_.load(std::memory_order_relaxed) > threads;
  futex_wake_own(news_, wake_all ? INT32_MAX : helpers);
}

void ComputePool::wait_for_news(uint32_t seen) {
  const auto has_news = [&] { return news_.load(std::memory_order_acquire) != seen; };
  if (look(has_news, true)) return;
  const int64_t begin = nanoseconds_of(CLOCK_MONOTONIC);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (news_.load(std::memory_order_seq_cst) == seen) futex_wait_own(news_, seen);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  t_slept += nanoseconds_of(CLOCK_MONOTONIC) - begin;
}

void ComputePool::wait_for_others(Slot& slot) {
  const auto unfinished = [&] { return slot.unfinished.load(std::memory_order_seq_cst); };
  if (look([&] { return unfinished() == 0; })) return;
  slot.caller_sleeps.store(true, std::memory_order_seq_cst);
  while (const uint32_t left = unfinished()) futex_wait_own(slot.unfinished, left);
  slot.caller_sleeps.store(false, std::memory_order_relaxed);
}

}  // namespace trireme
