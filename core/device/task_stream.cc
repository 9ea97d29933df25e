#include "core/device/task_stream.h"

#include <pthread.h>

#include <cstring>

#include "core/base/activity.h"
#include "core/base/error.h"

namespace trireme {

uint64_t HostEvent::mark_recorded() {
  MutexLock lock(mutex_);
  return ++recorded_;
}

void HostEvent::complete(uint64_t ticket, std::exception_ptr error) {
  MutexLock lock(mutex_);
  if (ticket > completed_) {
    completed_ = ticket;
    error_ = std::move(error);
  }
  changed_.notify_all();
}

uint64_t HostEvent::last_recorded() {
  MutexLock lock(mutex_);
  return recorded_;
}

void HostEvent::wait_for(uint64_t ticket) {
  MutexLock lock(mutex_);
  if (completed_ < ticket) {
    const ActivityScope waiting(Activity::kWaiting);
    while (completed_ < ticket) changed_.wait(mutex_);
  }
  if (error_) std::rethrow_exception(error_);
}

void HostEvent::wait_on_host() { wait_for(last_recorded()); }

TaskStream::TaskStream(const std::string& thread_name) {
  thread_ = std::thread([this, thread_name, observer = ObservedThread::observer()] {
    const ObservedThread observed(observer, /*helps=*/true);
    pthread_setname_np(pthread_self(), thread_name.substr(0, 15).c_str());
    work();
  });
}

TaskStream::~TaskStream() { stop(); }

void TaskStream::stop() {
  if (!thread_.joinable()) return;
  push({.kind = Task::Kind::kStop});
  thread_.join();
}

void TaskStream::push(const Task& task) {
  MutexLock lock(mutex_);
  while (size_ == kCapacity) changed_.wait(mutex_);
  queue_[(head_ + size_) % kCapacity] = task;
  ++size_;
  changed_.notify_all();
}

void TaskStream::launch(const PreparedKernel& kernel, const KernelArgs& args) {
  push({.kind = Task::Kind::kKernel, .kernel = &kernel, .args = &args});
}

void TaskStream::copy(void* to, const void* from, size_t bytes, CopyKind kind) {
  push({.kind = Task::Kind::kCopy, .to = to, .from = from, .bytes = bytes, .copy_kind = kind});
}

void TaskStream::record(Event& event) {
  auto& host_event = dynamic_cast<HostEvent&>(event);
  push({.kind = Task::Kind::kRecord, .event = &host_event, .ticket = host_event.mark_recorded()});
}

void TaskStream::wait(Event& event) {
  if (auto* host_event = dynamic_cast<HostEvent*>(&event)) {
    push({.kind = Task::Kind::kWait, .event = host_event, .ticket = host_event->last_recorded()});
  } else {
    push({.kind = Task::Kind::kWait, .foreign_event = &event});
  }
}

void TaskStream::synchronize() {
  std::exception_ptr error;
  {
    MutexLock lock(mutex_);
    if (size_ > 0) {
      const ActivityScope waiting(Activity::kWaiting);
      while (size_ > 0) changed_.wait(mutex_);
    }
    std::swap(error, error_);
  }
  if (error) std::rethrow_exception(error);
}

void TaskStream::run_copy(void* to, const void* from, size_t bytes, CopyKind) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void TaskStream::run(const Task& task, const std::exception_ptr& failure) {
  switch (task.kind) {
    case Task::Kind::kKernel:
      run_kernel(*task.kernel, *task.args);
      break;
    case Task::Kind::kCopy:
      run_copy(task.to, task.from, task.bytes, task.copy_kind);
      break;
    case Task::Kind::kRecord:
      task.event->complete(task.ticket, failure);
      break;
    case Task::Kind::kWait:
      task.event != nullptr ? task.event->wait_for(task.ticket)
                            : task.foreign_event->wait_on_host();
      break;
    case Task::Kind::kStop:
      break;
  }
}

void TaskStream::work() {
  while (true) {
    Task task;
    std::exception_ptr failure;
    {
      MutexLock lock(mutex_);
      while (size_ == 0) changed_.wait(mutex_);
      task = queue_[head_];
      failure = error_;
    }
    // After an error, events still complete: nobody may hang on a stream that failed.
    const bool skip = failure != nullptr && task.kind != Task::Kind::kRecord;
    std::exception_ptr error;
    if (skip && task.kind == Task::Kind::kKernel && task.kernel->abandon) {
      task.kernel->abandon(failure);
    }
    if (!skip) {
      try {
        run(task, failure);
      } catch (...) {
        error = std::current_exception();
      }
    }
    MutexLock lock(mutex_);
    if (error && !error_) error_ = error;
    head_ = (head_ + 1) % kCapacity;
    --size_;
    changed_.notify_all();
    if (task.kind == Task::Kind::kStop) return;
  }
}

}  // namespace trireme
