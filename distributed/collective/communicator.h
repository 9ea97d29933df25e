// A Communicator moves tensors between the ranks of one group.
//
// One object per group and rank; owned by the task, borrowed by the collective kernels. Calls come
// from one thread (the group's communication stream), in the same order on every rank: the plan
// guarantees it, and each call carries a sequence number by which a breach is found.
//
// After the first fault the communicator is dead: every later call throws that first fault at once.
// A new generation gets a new communicator. abort() may be called from any thread.
//
// All methods are blocking and have a deadline. What a GPU's library does asynchronously on its own
// stream, its kernels do with that library directly behind this same interface.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "core/tensor/dtype.h"
#include "distributed/cluster/peer.h"

namespace trireme {

enum class ReduceOp { kSum, kMean, kMin, kMax };  // kMean of integers truncates towards zero
std::string_view name(ReduceOp op);

// In which order a sum is formed. Every rank ends with the same bytes in both cases.
enum class Summation {
  kAny,   // whatever is fastest; may differ with the number of ranks, the size and the backend
  kTree,  // along the binary tree over ranks: ((0+1)+(2+3))+…; equal bits for every backend
};

// Contiguous elements in host memory. f32, f64, f16, bf16, i32 or i64; f16 and bf16 are added in
// f32.
struct TensorSpan {
  void* data = nullptr;
  int64_t count = 0;
  DType dtype = DType::kFloat32;
  size_t bytes() const { return static_cast<size_t>(count) * size_of(dtype); }
};

struct CommunicatorOptions {
  // From entering a call to giving up. A coordinator that watches the group reports earlier and
  // better.
  std::chrono::milliseconds timeout{60'000};
  // Asked again and again while the group connects: why to give it up, such as a member that is
  // known to be lost. Null: only the deadline ends it.
  std::function<std::optional<Error>()> interrupted = nullptr;

  void throw_if_interrupted() const {
    if (!interrupted) return;
    if (auto cause = interrupted()) throw Error(*cause);
  }
};

// What a rank is doing, for whoever reports stalls. Written by the communicating thread, read by
// any. Everything that communicates for a rank writes to one: it counts, and so the numbers of
// ranks that make the same calls are the same.
class CollectiveWatch {
 public:
  struct State {
    uint64_t entered = 0;   // collective calls begun; the number of the one under way
    uint64_t finished = 0;  // == entered when none is under way
    int64_t step = 0;
    std::string what;  // of the call that was entered last: "bucket 3 (conv2/kernel … logits/bias)"
    std::chrono::steady_clock::time_point since;  // when it was entered
    bool waiting() const { return entered != finished; }
  };
  void enter(const std::string& what, int64_t step) EXCLUDES(mutex_);
  void leave() EXCLUDES(mutex_);
  State state() const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_);
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;

  int rank() const { return group_.rank; }
  int size() const { return group_.size(); }
  const Group& group() const { return group_; }
  // "shm, 4 ranks on one host"
  virtual std::string description() const = 0;

  // Reduces `data` over all ranks, in place. REQUIRES: all ranks pass the same count, dtype, op and
  // summation. Throws Error{kUnavailable} naming the peer that was lost, kDeadlineExceeded naming
  // those that are late, and the cause of abort(). `data` is undefined after that.
  void all_reduce(TensorSpan data, ReduceOp op, Summation summation = Summation::kAny);
  // `in` is size() equal blocks; `out`, one block, gets the reduction of block rank(). They may not
  // overlap.
  void reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op);
  // `out` is size() blocks, block r is `in` of rank r. `in` may be its own block of `out`.
  void all_gather(TensorSpan in, TensorSpan out);
  void broadcast(TensorSpan data, int root);
  void barrier();

  // Says what the next call is for, in messages and stall reports. `what` is kept by reference
  // until that call is over.
  void set_label(const std::string& what, int64_t step) {
    label_ = &what;
    step_ = step;
  }
  // For calls to come, in place of options.timeout; by the thread that calls.
  void set_timeout(std::chrono::milliseconds timeout) { options_.timeout = timeout; }
  // Watched from now on; null: not.
  void set_watch(std::shared_ptr<CollectiveWatch> watch) { watch_ = std::move(watch); }

  // From any thread: what is under way and every later call throws `cause`. The first cause stays.
  void abort(const Error& cause) EXCLUDES(mutex_);
  std::optional<Error> fault() const EXCLUDES(mutex_);

 protected:
  using Clock = std::chrono::steady_clock;

  Communicator(Group group, CommunicatorOptions options);

  // The work itself; size() > 1 and count > 0 are given. Waits poll aborted() or are woken by
  // wake(). kMean arrives as it is.
  virtual void do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) = 0;
  virtual void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) = 0;
  virtual void do_all_gather(TensorSpan in, TensorSpan out) = 0;
  virtual void do_broadcast(TensorSpan data, int root) = 0;
  virtual void do_barrier() = 0;
  // Called by abort(), on its thread, once: ends waits that do not poll.
  virtual void wake() {}

  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  void throw_if_aborted() const;                            // the cause
  Clock::time_point deadline() const { return deadline_; }  // of the call under way
  uint64_t sequence() const { return sequence_; }           // of the call under way, from 1
  const CommunicatorOptions& options() const { return options_; }
  // What set_label() said of the call under way; null: nothing.
  const std::string* label() const { return label_; }
  int64_t step() const { return step_; }
  // " in bucket 3 (…) at step 841": to end a message with.
  std::string where() const;

 private:
  template <typename Call>
  void run(Call call);

  const Group group_;
  CommunicatorOptions options_;
  std::shared_ptr<CollectiveWatch> watch_;
  const std::string* label_ = nullptr;
  int64_t step_ = 0;
  uint64_t sequence_ = 0;
  Clock::time_point deadline_;
  std::atomic<bool> aborted_{false};
  mutable Mutex mutex_;
  std::optional<Error> fault_ GUARDED_BY(mutex_);
};

}  // namespace trireme
