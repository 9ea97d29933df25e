#include "tests/support/fake_cuda/scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

namespace trireme::fake_cuda {
namespace {

// A real driver, too, makes the host wait when a stream is this far behind.
constexpr size_t kMaxPending = 8192;
constexpr std::chrono::seconds kDeadline{60};
constexpr std::chrono::milliseconds kLookAgain{1};
// With more allocations than this the canaries are looked at once a wait, not after each kernel.
constexpr size_t kFewAllocations = 64;

// How long a function for the host waits until it is begun although nobody waits for its stream.
constexpr std::chrono::milliseconds kPatience{2};

enum Mode { kOnlyNeeded, kOthersFirst, kAny, kModes };

}  // namespace

std::shared_ptr<const Work> make_marker(std::string name) {
  auto work = std::make_shared<Work>();
  work->name = std::move(name);
  return work;
}

Scheduler::Scheduler(Owner& owner, Memory& memory, std::mutex& lock, uint64_t seed)
    : owner_(owner), memory_(memory), lock_(lock) {
  this->seed(seed);
}

void Scheduler::seed(uint64_t seed) {
  random_.seed(static_cast<std::minstd_rand::result_type>(seed + 1));
}

OperationPtr Scheduler::enqueue(std::shared_ptr<const Work> work, int card, const void* stream,
                                bool of_graph, const std::vector<OperationPtr>& after) {
  auto operation = std::make_shared<Operation>();
  operation->id = next_id_++;
  operation->work = std::move(work);
  operation->card = card;
  operation->stream = stream;
  operation->of_graph = of_graph;
  for (const OperationPtr& other : after) {
    if (!other) continue;
    operation->after_ids.push_back(other->id);
    if (other->done) continue;
    operation->after.push_back(other);
    other->before.push_back(operation);
    ++operation->missing;
  }
  pending_.push_back(operation);
  if (operation->missing == 0) ready_.push_back(operation);
  if (operation->work->on_host) {
    host_functions_.push_back(operation);
    if (!std::exchange(has_thread_, true)) std::thread([this] { begin_host_functions(); }).detach();
  }
  changed_.notify_all();
  return operation;
}

void Scheduler::mark_needed(const OperationPtr& target, uint64_t wait) {
  std::vector<Operation*> open = {target.get()};
  while (!open.empty()) {
    Operation& operation = *open.back();
    open.pop_back();
    if (operation.needed == wait) continue;
    operation.needed = wait;
    for (const OperationPtr& other : operation.after)
      if (!other->done) open.push_back(other.get());
  }
}

OperationPtr Scheduler::pick(int mode, uint64_t wait) {
  std::vector<size_t> needed, others;
  for (size_t i = 0; i < ready_.size(); ++i) {
    const Operation& operation = *ready_[i];
    if (operation.work->ready && !owner_.failed(operation.card) && !operation.work->ready())
      continue;
    (operation.needed == wait ? needed : others).push_back(i);
  }
  // When what is needed waits for something outside, the others go on.
  bool take_others = needed.empty();
  if (!take_others && !others.empty())
    take_others = mode == kOthersFirst || (mode == kAny && random_() % 2 == 0);
  const std::vector<size_t>& from = take_others ? others : needed;
  if (from.empty()) return nullptr;
  const size_t chosen = from[random_() % from.size()];
  OperationPtr operation = ready_[chosen];
  ready_.erase(ready_.begin() + static_cast<ptrdiff_t>(chosen));
  return operation;
}

void Scheduler::run_until(const OperationPtr& target, std::unique_lock<std::mutex>& lock) {
  if (!target || target->done) return;
  const int mode = static_cast<int>(random_() % kModes);
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!target->done) {
    {
      Memory::Access access(memory_);
      // Again after each pause: another thread may have waited for something else.
      const uint64_t wait = ++waits_;
      mark_needed(target, wait);
      while (!target->done) {
        const OperationPtr next = pick(mode, wait);
        if (!next) break;
        execute(next);
      }
      if (const auto problem = memory_.check_canaries())
        owner_.fail(target->card, {DeviceFault::kIllegalAddress, *problem});
    }
    if (target->done) break;
    // What waits for another process (a collective) is looked at again soon.
    const auto soon = std::chrono::steady_clock::now() + kLookAgain;
    changed_.wait_until(lock, std::min(soon, deadline));
    if (std::chrono::steady_clock::now() >= deadline)
      throw std::runtime_error("'" + target->work->name +
                               "' waits for work that nobody has enqueued within a minute");
  }
}

void Scheduler::run_all(int card, std::unique_lock<std::mutex>& lock) {
  while (true) {
    const auto last = std::find_if(pending_.rbegin(), pending_.rend(), [&](const auto& operation) {
      return !operation->done && operation->card == card;
    });
    if (last == pending_.rend()) return;
    run_until(*last, lock);
  }
}

void Scheduler::run_one() {
  Memory::Access access(memory_);
  if (const OperationPtr next = pick(kAny, ++waits_)) execute(next);
}

void Scheduler::run_overdue(std::unique_lock<std::mutex>& lock) {
  if (pending_.size() > kMaxPending) run_until(OperationPtr(pending_[kMaxPending / 2]), lock);
}

void Scheduler::begin_host_functions() {
  std::unique_lock<std::mutex> lock(lock_);
  while (true) {
    changed_.wait(lock, [this] { return !host_functions_.empty(); });
    const OperationPtr oldest = host_functions_.front();
    changed_.wait_for(lock, kPatience, [&] { return oldest->begun; });
    if (oldest->begun) continue;
    const uint64_t wait = ++waits_;
    mark_needed(oldest, wait);
    const OperationPtr next = pick(kOnlyNeeded, wait);
    if (next) {
      Memory::Access access(memory_);
      execute(next);
    } else {
      changed_.wait_for(lock, kPatience);
    }
  }
}

void Scheduler::execute(const OperationPtr& pointer) {
  Operation& operation = *pointer;
  operation.begun = true;
  std::erase(host_functions_, pointer);
  const bool skipped = owner_.failed(operation.card);
  if (!skipped) {
    count(operation);
    if (operation.work->run) {
      auto fault = operation.work->run();
      if (!fault && operation.work->kind == OperationKind::kKernel &&
          memory_.count() <= kFewAllocations) {
        if (const auto problem = memory_.check_canaries())
          fault = DeviceFault{DeviceFault::kIllegalAddress,
                              "kernel '" + operation.work->name + "': " + *problem};
      }
      if (fault) owner_.fail(operation.card, *fault);
    }
  }
  if (!skipped && operation.work->on_host) {
    std::thread([this, pointer] {
      pointer->work->on_host();
      std::lock_guard<std::mutex> lock(lock_);
      finish(*pointer);
      changed_.notify_all();
    }).detach();
    return;
  }
  finish(operation);
}

void Scheduler::finish(Operation& operation) {
  operation.done = true;
  operation.done_at = std::chrono::steady_clock::now();
  operation.after.clear();
  for (const OperationPtr& next : operation.before)
    if (--next->missing == 0) ready_.push_back(next);
  operation.before.clear();
  if (++done_ > pending_.size() / 2) {
    std::erase_if(pending_, [](const OperationPtr& o) { return o->done; });
    done_ = 0;
  }
}

void Scheduler::count(const Operation& operation) {
  const Work& work = *operation.work;
  ++statistics.operations[work.kind];
  statistics.bytes[work.kind] += static_cast<int64_t>(work.bytes);
  if (operation.of_graph) ++statistics.graph_nodes[work.kind];
  if (work.kind == OperationKind::kKernel) ++statistics.launches[work.name];
  if (logging)
    log.push_back({.id = operation.id,
                   .kind = work.kind,
                   .name = work.name,
                   .card = operation.card,
                   .stream = operation.stream,
                   .of_graph = operation.of_graph,
                   .bytes = work.bytes,
                   .start = ++started_,
                   .after = operation.after_ids});
}

}  // namespace trireme::fake_cuda
