// Work that may wait for files and for others, one piece after the other on a thread of its own.
//
// Any thread.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "core/base/thread_annotations.h"

namespace trireme::ps {

class Background {
 public:
  Background();
  ~Background() { close(); }
  Background(const Background&) = delete;

  void post(std::function<void()> work) EXCLUDES(mutex_);
  // Ends when all is done; what is posted later is not. One thread.
  void close() EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);

  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<std::function<void()>> work_ GUARDED_BY(mutex_);
  bool closing_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trireme::ps
