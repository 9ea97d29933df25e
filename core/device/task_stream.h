// A stream whose work runs on a thread of its own, and the events of such streams.
//
// Used for communication next to the CPU's compute, and for the remote test device. The queue is
// bounded and never allocates: an issuer that runs too far ahead waits.
#pragma once

#include <array>
#include <exception>
#include <thread>

#include "core/base/thread_annotations.h"
#include "core/device/device.h"
#include "core/device/kernel_spec.h"

namespace trireme {

// Counts records and completions, so that recording again before everyone has waited is harmless.
class HostEvent : public Event {
 public:
  uint64_t mark_recorded() EXCLUDES(mutex_);  // called by the issuer; returns the ticket
  // Called where the stream reaches it; with the stream's error, if it has one.
  void complete(uint64_t ticket, std::exception_ptr error) EXCLUDES(mutex_);
  uint64_t last_recorded() EXCLUDES(mutex_);
  void wait_for(uint64_t ticket) EXCLUDES(mutex_);  // throws that error
  void wait_on_host() override;

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  uint64_t recorded_ GUARDED_BY(mutex_) = 0;
  uint64_t completed_ GUARDED_BY(mutex_) = 0;
  std::exception_ptr error_ GUARDED_BY(mutex_);  // of the latest completion
};

class TaskStream : public Stream {
 public:
  explicit TaskStream(const std::string& thread_name);
  ~TaskStream() override;  // finishes what was issued

  void launch(const PreparedKernel& kernel, const KernelArgs& args) override;
  void copy(void* to, const void* from, size_t bytes, CopyKind kind) override;
  void record(Event& event) override;
  void wait(Event& event) override;
  void synchronize() override;

 protected:
  // Run on the stream's thread; a device whose addresses are not the host's translates here.
  virtual void run_kernel(const PreparedKernel& kernel, const KernelArgs& args) {
    kernel.run(args);
  }
  virtual void run_copy(void* to, const void* from, size_t bytes, CopyKind kind);
  // A subclass calls this first in its destructor: the thread must not call its methods any more.
  void stop();

 private:
  struct Task {
    enum class Kind { kKernel, kCopy, kRecord, kWait, kStop } kind = Kind::kStop;
    const PreparedKernel* kernel = nullptr;
    const KernelArgs* args = nullptr;
    void* to = nullptr;
    const void* from = nullptr;
    size_t bytes = 0;
    CopyKind copy_kind = CopyKind::kDeviceToDevice;
    HostEvent* event = nullptr;
    Event* foreign_event = nullptr;
    uint64_t ticket = 0;
  };
  void push(const Task& task);
  void work();
  void run(const Task& task, const std::exception_ptr& failure);

  static constexpr size_t kCapacity = 256;

  Mutex mutex_;
  ConditionVariable changed_;
  std::array<Task, kCapacity> queue_ GUARDED_BY(mutex_);
  size_t head_ GUARDED_BY(mutex_) = 0;  // next to run
  size_t size_ GUARDED_BY(mutex_) = 0;  // waiting, and the one that runs
  std::exception_ptr error_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
