#include "ps/protocol/shm_stream.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "core/base/futex.h"

namespace trireme::ps {
namespace {

// The other side sees so much at a time, so that it copies while this side does.
constexpr size_t kPieceBytes = size_t{128} << 10;

}  // namespace

ShmStream::~ShmStream() {
  stop();
  join();
}

void ShmStream::start(const std::string& thread_name, OnBytes on_bytes, OnFault on_fault) {
  on_bytes_ = std::move(on_bytes);
  on_fault_ = std::move(on_fault);
  // The thread may be what keeps the stream: who is told of an end may drop all other handles.
  thread_ = std::thread([self = shared_from_this()] { self->run(); });
  pthread_setname_np(thread_.native_handle(), thread_name.c_str());
}

void ShmStream::stop() {
  if (!stopped_.exchange(true)) ring_->wake_self();
}

void ShmStream::join() {
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void ShmStream::send(FrameHeader header, OutMessage message) {
  bool broken = false;
  {
    MutexLock lock(mutex_);
    if (stopped_.load()) return;
    outgoing_.emplace_back(header, std::move(message));
    if (outgoing_.size() > 1) return;  // behind others, which wait for room
    try {
      write();
    } catch (const Error&) {
      broken = true;  // the thread finds it too, and says so
    }
  }
  if (broken) ring_->wake_self();
}

bool ShmStream::write() {
  bool wrote = false;
  while (!outgoing_.empty()) {
    OutgoingFrame& frame = outgoing_.front();
    size_t unseen = 0;
    bool full = false;
    while (!frame.is_over() && !full) {
      const auto part = frame.peek(kPieceBytes - unseen);
      const size_t count = ring_->write(part.bytes);
      frame.advance(count);
      unseen += count;
      full = count < part.bytes.size();
      if (unseen == kPieceBytes) {
        ring_->publish();
        wrote = true;
        unseen = 0;
      }
    }
    if (unseen > 0) {
      ring_->publish();
      wrote = true;
    }
    if (!full) {
      outgoing_.pop_front();
      continue;
    }
    has_queued_ = true;
    ring_->want_room();
    if (!ring_->has_room()) return wrote;  // the other side sees the wish when it makes room
  }
  has_queued_ = false;
  return wrote;
}

bool ShmStream::flush() {
  if (!has_queued_) return false;
  MutexLock lock(mutex_);
  return write();
}

bool ShmStream::receive() {
  const auto bytes = ring_->readable();
  if (bytes.empty()) return false;
  const auto part = bytes.first(std::min(bytes.size(), kPieceBytes));
  on_bytes_(part);
  ring_->taken(part.size());
  return true;
}

bool ShmStream::is_idle() const {
  return ring_->readable().empty() && !stopped_ && !(has_queued_ && ring_->has_room());
}

void ShmStream::wait() {
  if (spin_.wait([&] { return !is_idle(); })) return;
  const uint32_t prepared = ring_->prepare_sleep();
  if (is_idle()) {
    ring_->sleep(prepared);
  } else {
    ring_->do_not_sleep();
  }
}

void ShmStream::run() {
  try {
    while (!stopped_) {
      const bool received = receive();
      const bool flushed = flush();
      if (!received && !flushed) wait();
    }
  } catch (const Error& error) {
    on_fault_(error);
  }
  on_bytes_ = nullptr;
  on_fault_ = nullptr;
}

}  // namespace trireme::ps
