#include "distributed/collective/communicator.h"

#include <cstring>

#include "core/base/activity.h"

namespace trireme {

std::string_view name(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return "sum";
    case ReduceOp::kMean:
      return "mean";
    case ReduceOp::kMin:
      return "min";
    case ReduceOp::kMax:
      return "max";
  }
  return "?";
}

void CollectiveWatch::enter(const std::string& what, int64_t step) {
  MutexLock lock(mutex_);
  ++state_.entered;
  state_.step = step;
  state_.what = what;
  state_.since = std::chrono::steady_clock::now();
}

void CollectiveWatch::leave() {
  MutexLock lock(mutex_);
  state_.finished = state_.entered;
}

CollectiveWatch::State CollectiveWatch::state() const {
  MutexLock lock(mutex_);
  return state_;
}

Communicator::Communicator(Group group, CommunicatorOptions options)
    : group_(std::move(group)), options_(std::move(options)) {
  TRIREME_CHECK(group_.rank >= 0 && group_.rank < group_.size(), "rank ", group_.rank, " of ",
                group_.size());
  // It is connected; and what this refers to may own the communicator.
  options_.interrupted = nullptr;
}

template <typename Call>
void Communicator::run(Call call) {
  throw_if_aborted();
  ++sequence_;
  if (size() > 1) {
    const ActivityScope communicating(Activity::kCollective);
    deadline_ = Clock::now() + options_.timeout;
    if (watch_) watch_->enter(label_ != nullptr ? *label_ : "", step_);
    try {
      call();
    } catch (const Error& error) {
      abort(error);
      throw_if_aborted();  // a cause that came from elsewhere meanwhile tells more
    }
    if (watch_) watch_->leave();
  }
  label_ = nullptr;
}

void Communicator::all_reduce(TensorSpan data, ReduceOp op, Summation summation) {
  run([&] {
    if (data.count > 0) do_all_reduce(data, op, summation);
  });
}

void Communicator::reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) {
  TRIREME_CHECK(in.count == out.count * size() && in.dtype == out.dtype, in.count, " elements in, ",
                out.count, " out");
  if (size() == 1 && out.count > 0) std::memcpy(out.data, in.data, out.bytes());
  run([&] {
    if (out.count > 0) do_reduce_scatter(in, out, op);
  });
}

void Communicator::all_gather(TensorSpan in, TensorSpan out) {
  TRIREME_CHECK(out.count == in.count * size() && in.dtype == out.dtype, in.count, " elements in, ",
                out.count, " out");
  if (size() == 1 && in.count > 0 && in.data != out.data) {
    std::memcpy(out.data, in.data, in.bytes());
  }
  run([&] {
    if (in.count > 0) do_all_gather(in, out);
  });
}

void Communicator::broadcast(TensorSpan data, int root) {
  TRIREME_CHECK(root >= 0 && root < size(), "root ", root);
  run([&] {
    if (data.count > 0) do_broadcast(data, root);
  });
}

void Communicator::barrier() {
  run([&] { do_barrier(); });
}

void Communicator::abort(const Error& cause) {
  {
    MutexLock lock(mutex_);
    if (fault_) return;
    fault_ = cause;
    aborted_.store(true, std::memory_order_release);
  }
  wake();
}

std::optional<Error> Communicator::fault() const {
  MutexLock lock(mutex_);
  return fault_;
}

void Communicator::throw_if_aborted() const {
  if (!aborted()) return;
  MutexLock lock(mutex_);
  throw *fault_;
}

std::string Communicator::where() const {
  if (label_ == nullptr) return str_cat(" in collective ", sequence_);
  return str_cat(" in ", *label_, " at step ", step_);
}

}  // namespace trireme
