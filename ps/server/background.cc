#include "ps/server/background.h"

#include <pthread.h>

namespace trireme::ps {

Background::Background() : thread_([this] { run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "ps files");
}

void Background::post(std::function<void()> work) {
  MutexLock lock(mutex_);
  work_.push_back(std::move(work));
  changed_.notify_all();
}

void Background::close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Background::run() {
  for (;;) {
    std::function<void()> work;
    {
      MutexLock lock(mutex_);
      while (work_.empty() && !closing_) changed_.wait(mutex_);
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

}  // namespace trireme::ps
