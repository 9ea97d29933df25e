// The threads that own shards: each runs its queue of work in order.
//
// All methods may be called from any thread, work that runs here included. Destroyed, it runs what
// is queued and ends.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace trireme::ps {

// What is to be done on some of the threads.
class ShardWork {
 public:
  virtual ~ShardWork() = default;
  // Must not throw.
  virtual void run(int thread) = 0;
};

class ShardThreads {
 public:
  explicit ShardThreads(int threads);
  ~ShardThreads();
  ShardThreads(const ShardThreads&) = delete;

  int size() const { return static_cast<int>(queues_.size()); }
  void post(int thread, std::shared_ptr<ShardWork> work);

  // When all threads are idle, the caller takes their place until release(): small work is done
  // sooner where its message came in than by waking somebody. What is posted meanwhile waits.
  bool try_seize();
  void release();

  // Pieces of work that wait or run.
  int64_t queued() const;

 private:
  struct Queue;

  static void serve(Queue& queue, int thread);

  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<std::thread> threads_;
};

}  // namespace trireme::ps
