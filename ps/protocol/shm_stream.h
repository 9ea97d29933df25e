// Frames through a ShmRing: one thread reads what comes and writes what had no room at once.
//
// send() may be called from any thread, and never waits for room. That the other process has died
// is noticed by the connection that brought the two together: its owner calls stop().
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/base/spin.h"
#include "core/base/thread_annotations.h"
#include "ps/protocol/frame.h"
#include "ps/protocol/shm_ring.h"

namespace trireme::ps {

class ShmStream : public FrameSink, public std::enable_shared_from_this<ShmStream> {
 public:
  // Throws Error for bytes that cannot be believed.
  using OnBytes = std::function<void(std::span<const std::byte>)>;
  // Called at most once, on the stream's thread: the other side cannot be believed.
  using OnFault = std::function<void(const Error& why)>;

  explicit ShmStream(std::unique_ptr<ShmRing> ring) : ring_(std::move(ring)) {}
  ~ShmStream() override;
  ShmStream(const ShmStream&) = delete;

  // Begins to read, on a thread of this name.
  void start(const std::string& thread_name, OnBytes on_bytes, OnFault on_fault);
  void send(FrameHeader header, OutMessage message) override EXCLUDES(mutex_);

  // Nothing more is sent, and soon nothing more is read. Any thread; does not wait.
  void stop();
  // After stop(): waits until nothing more will be called; not when the stream's own thread calls
  // it.
  void join();

  ShmRing& ring() { return *ring_; }

 private:
  void run();
  bool receive();                 // whether anything was there
  bool flush() EXCLUDES(mutex_);  // whether anything was written
  bool write() REQUIRES(mutex_);
  bool is_idle() const;
  void wait();

  const std::unique_ptr<ShmRing> ring_;
  OnBytes on_bytes_;
  OnFault on_fault_;
  std::thread thread_;
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> has_queued_ = false;
  YieldingSpin spin_;  // of the thread

  Mutex mutex_;  // of the way out
  std::deque<OutgoingFrame> outgoing_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
