#include "ps/server/shard_threads.h"

#include <pthread.h>

#include <atomic>
#include <deque>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"

namespace trireme::ps {

struct ShardThreads::Queue {
  Mutex mutex;
  ConditionVariable changed;
  std::deque<std::shared_ptr<ShardWork>> work GUARDED_BY(mutex);
  bool busy GUARDED_BY(mutex) = false;  // somebody has the shards: the thread, or who seized it
  bool closing GUARDED_BY(mutex) = false;
  std::atomic<int64_t> queued{0};
};

ShardThreads::ShardThreads(int threads) {
  TRIREME_CHECK(threads > 0, threads, " shard threads");
  for (int i = 0; i < threads; ++i) queues_.push_back(std::make_unique<Queue>());
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([&queue = *queues_[static_cast<size_t>(i)], i] { serve(queue, i); });
    ::pthread_setname_np(threads_.back().native_handle(), str_cat("shards ", i).c_str());
  }
}

ShardThreads::~ShardThreads() {
  for (const auto& queue : queues_) {
    MutexLock lock(queue->mutex);
    queue->closing = true;
    queue->changed.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void ShardThreads::post(int thread, std::shared_ptr<ShardWork> work) {
  Queue& queue = *queues_[static_cast<size_t>(thread)];
  queue.queued.fetch_add(1, std::memory_order_relaxed);
  MutexLock lock(queue.mutex);
  queue.work.push_back(std::move(work));
  if (!queue.busy) queue.changed.notify_one();
}

void ShardThreads::serve(Queue& queue, int thread) {
  for (;;) {
    std::shared_ptr<ShardWork> work;
    {
      MutexLock lock(queue.mutex);
      while ((queue.work.empty() && !queue.closing) || queue.busy) queue.changed.wait(queue.mutex);
      if (queue.work.empty()) return;
      work = std::move(queue.work.front());
      queue.work.pop_front();
      queue.busy = true;
    }
    work->run(thread);
    work.reset();
    queue.queued.fetch_sub(1, std::memory_order_relaxed);
    MutexLock lock(queue.mutex);
    queue.busy = false;
  }
}

bool ShardThreads::try_seize() {
  for (size_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = *queues_[i];
    {
      MutexLock lock(queue.mutex);
      if (!queue.busy && queue.work.empty() && !queue.closing) {
        queue.busy = true;
        continue;
      }
    }
    for (size_t taken = 0; taken < i; ++taken) {
      MutexLock lock(queues_[taken]->mutex);
      queues_[taken]->busy = false;
      queues_[taken]->changed.notify_one();
    }
    return false;
  }
  return true;
}

void ShardThreads::release() {
  for (const auto& queue : queues_) {
    MutexLock lock(queue->mutex);
    queue->busy = false;
    if (!queue->work.empty() || queue->closing) queue->changed.notify_one();
  }
}

int64_t ShardThreads::queued() const {
  int64_t sum = 0;
  for (const auto& queue : queues_) sum += queue->queued.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace trireme::ps
