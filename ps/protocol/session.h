// A server's end of one connection, whatever number of streams carry it: hands its requests over in
// the order in which they were sent.
//
// Any thread: the transport's threads call it, several at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "core/base/thread_annotations.h"
#include "ps/protocol/frame.h"
#include "ps/protocol/rpc.h"

namespace trireme::ps {

class Session {
 public:
  explicit Session(std::shared_ptr<const RequestHandler> handler) : handler_(std::move(handler)) {}

  // A request came over `from`, where its answer goes. Throws Error{kDataLoss} for a number that
  // was there before, or is too far ahead.
  void arrived(uint64_t call, Message request, std::shared_ptr<FrameSink> from) EXCLUDES(mutex_);
  // A request was refused: the next ones do not wait for it.
  void skipped(uint64_t call) EXCLUDES(mutex_);

 private:
  struct Arrived {
    Message request;
    std::shared_ptr<FrameSink> from;  // null: skipped
  };
  void take(uint64_t call, Arrived arrived) EXCLUDES(mutex_);

  const std::shared_ptr<const RequestHandler> handler_;
  Mutex mutex_;
  uint64_t next_ GUARDED_BY(mutex_) = 1;
  bool handing_over_ GUARDED_BY(mutex_) = false;  // a thread is at it
  std::map<uint64_t, Arrived> waiting_ GUARDED_BY(mutex_);
};

}  // namespace trireme::ps
