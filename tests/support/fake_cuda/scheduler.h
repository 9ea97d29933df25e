// What was enqueued on streams, and the order in which it runs.
//
// Nothing runs when it is enqueued, but when somebody waits for it; then on the thread that waits.
// The order keeps what streams and events promise and nothing else: each wait picks, by a random
// number, whether work that it does not need runs before all else, not at all, or in between. What
// works only because the GPU was quick, or slow, therefore fails. Functions for the host are begun
// by a thread of the scheduler when nobody waits: what they do, others may wait for without the
// driver. Called under the driver's lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/fake_cuda/block_runner.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/memory.h"

namespace trireme::fake_cuda {

// What is to be done; a graph does it again and again.
struct Work {
  OperationKind kind = OperationKind::kMarker;
  std::string name;
  size_t bytes = 0;
  // Null for a marker that does nothing.
  std::function<std::optional<DeviceFault>()> run;
  // In place of `run`: on a thread of its own, without the driver's lock, since it may wait.
  std::function<void()> on_host;
  // Work that needs others besides what it comes after (a collective): whether it can start.
  std::function<bool()> ready;
};

std::shared_ptr<const Work> make_marker(std::string name);

struct Operation {
  uint64_t id = 0;
  std::shared_ptr<const Work> work;
  int card = 0;
  const void* stream = nullptr;
  bool of_graph = false;
  std::vector<std::shared_ptr<Operation>> after;  // what it waits for and is not done
  std::vector<uint64_t> after_ids;                // all that it waits for, for the log
  std::vector<std::shared_ptr<Operation>> before;
  size_t missing = 0;
  uint64_t needed = 0;  // the number of the wait that needs it
  bool begun = false, done = false;
  std::chrono::steady_clock::time_point done_at;
};
using OperationPtr = std::shared_ptr<Operation>;

class Scheduler {
 public:
  // Who knows whether a card has failed: what is left on it is then skipped.
  struct Owner {
    virtual ~Owner() = default;
    virtual bool failed(int card) const = 0;
    virtual void fail(int card, const DeviceFault& fault) = 0;
  };
  Scheduler(Owner& owner, Memory& memory, std::mutex& lock, uint64_t seed);

  OperationPtr enqueue(std::shared_ptr<const Work> work, int card, const void* stream,
                       bool of_graph, const std::vector<OperationPtr>& after);
  // Runs until `target` is done. Unlocks `lock` while it waits for other threads to enqueue what
  // is missing; throws std::runtime_error when none does within a minute.
  void run_until(const OperationPtr& target, std::unique_lock<std::mutex>& lock);
  // Runs what is pending on `card`.
  void run_all(int card, std::unique_lock<std::mutex>& lock);
  // One operation, when one can run: somebody polls.
  void run_one();
  // When so much is pending that a real driver would make the host wait: runs the older half.
  void run_overdue(std::unique_lock<std::mutex>& lock);
  void seed(uint64_t seed);

  // Statistics and log, as FakeCuda gives them.
  Statistics statistics;
  bool logging = false;
  std::vector<LoggedOperation> log;

 private:
  OperationPtr pick(int mode, uint64_t wait);
  void execute(const OperationPtr& operation);
  void finish(Operation& operation);
  // Of the scheduler's own thread.
  [[noreturn]] void begin_host_functions();
  void count(const Operation& operation);
  void mark_needed(const OperationPtr& target, uint64_t wait);

  Owner& owner_;
  Memory& memory_;
  std::mutex& lock_;
  bool has_thread_ = false;
  std::minstd_rand random_;
  std::condition_variable changed_;  // something was enqueued, or has ended on another thread
  uint64_t next_id_ = 1, waits_ = 0, started_ = 0;
  size_t done_ = 0;                           // of pending_
  std::vector<OperationPtr> pending_;         // in the order in which they were enqueued
  std::vector<OperationPtr> host_functions_;  // that have not begun
  std::vector<OperationPtr> ready_;           // of pending_, those that wait for nothing
};

}  // namespace trireme::fake_cuda
