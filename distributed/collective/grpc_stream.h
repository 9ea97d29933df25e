// One bidirectional gRPC stream to one peer: frames out, frames in, and its orderly or other end.
//
// Made by the endpoint on either side of the connection, then owned by a transport. Operations
// under way keep it alive. send(), take() and the rest belong to the transport's thread; what gRPC
// reports arrives through GrpcProgress, on the thread that polls. Reading stops while more than a
// few frames wait to be taken, so that a fast peer is held back by flow control.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/collective/grpc_inquiry.h"
#include "distributed/collective/grpc_progress.h"
#include "distributed/collective/grpc_wire.h"
#include "distributed/connection/connection.h"

namespace grpc {
class ByteBuffer;
class Slice;
}  // namespace grpc

namespace trireme {

// Counts the pieces of the caller's memory that gRPC still refers to.
using GrpcBorrowed = std::shared_ptr<std::atomic<int>>;

class GrpcStream : public std::enable_shared_from_this<GrpcStream> {
 public:
  struct Member {
    std::string name;  // the peer's, for messages
    uint32_t peer = 0, me = 0;
    int64_t generation = 0;
    std::shared_ptr<GrpcInquiry> inquiry;  // hears what kWaiting says
  };
  // Called at most once, by the thread that polls: the stream broke or the peer sent garbage; or it
  // reported a fault of its own.
  using OnFault = std::function<void(const Error& cause)>;

  virtual ~GrpcStream();
  GrpcStream(const GrpcStream&) = delete;
  // Kept until the stream is gone, so that whoever owns the queue knows. By who makes it, once.
  void hold(std::shared_ptr<void> token) { token_ = std::move(token); }

  // Begins to read. Once, when both sides have agreed.
  void open(Member member, OnFault on_fault) EXCLUDES(mutex_);

  // Queues a segment. More than a little `data` is not copied: it is counted in `borrowed` for as
  // long as it must stay as it is.
  void send(const SegmentHeader& header, const void* data, const GrpcBorrowed& borrowed)
      EXCLUDES(mutex_);
  // Drops what has not been handed to gRPC yet, and sends this one instead.
  void send_last(const SegmentHeader& header, const void* data) EXCLUDES(mutex_);

  bool readable() const EXCLUDES(mutex_);  // take() will find a segment
  bool ended() const EXCLUDES(mutex_);     // nothing more will come
  bool answered() const EXCLUDES(mutex_);  // the peer has everything, or is gone
  bool unsent() const EXCLUDES(mutex_);    // something has not left for the network
  // Copies the next segment to `data`. REQUIRES: readable(). Throws Error{kDataLoss} when it is
  // another than expected.
  void take(uint64_t sequence, uint64_t total, uint64_t offset, size_t bytes, void* data)
      EXCLUDES(mutex_);

  // Nothing will be taken any more: reads on, to see the end, and drops what comes.
  void drain() EXCLUDES(mutex_);
  // Ends it now; on_fault is not called any more. gRPC keeps what was borrowed until the stream is
  // destroyed.
  void cancel() EXCLUDES(mutex_);
  // Breaks the connection below, which makes gRPC drop even what the kernel would not take.
  void break_connection() { connection_->break_off(); }

 protected:
  explicit GrpcStream(std::shared_ptr<Connection> connection);

  // gRPC's calls; the event is done when they are.
  virtual void start_read(grpc::ByteBuffer* buffer, GrpcEvent* event) = 0;
  virtual void start_write(const grpc::ByteBuffer& buffer, GrpcEvent* event) = 0;
  virtual void start_cancel() = 0;
  // After the last read: why the stream ended, as gRPC says; may take another event.
  virtual void start_end(std::function<void(const std::string& why)> then) = 0;

 private:
  struct Outgoing;
  struct Frame;
  struct Read final : GrpcEvent {
    void done(bool ok) override;
    GrpcStream* stream = nullptr;
    std::shared_ptr<GrpcStream> keep;  // while under way
  };
  struct Write final : GrpcEvent {
    void done(bool ok) override;
    GrpcStream* stream = nullptr;
    std::shared_ptr<GrpcStream> keep;
  };

  void read() EXCLUDES(mutex_);
  void write(std::vector<grpc::Slice> frame);
  void on_read(bool ok) EXCLUDES(mutex_);
  void on_written(bool ok) EXCLUDES(mutex_);
  std::vector<grpc::Slice> next_frame() REQUIRES(mutex_);
  // Returns why the frame cannot be believed; empty: it was queued or obeyed.
  std::string accept(std::unique_ptr<Frame> frame) EXCLUDES(mutex_);
  void enqueue(Outgoing outgoing, bool alone) EXCLUDES(mutex_);
  void fail(const Error& cause) EXCLUDES(mutex_);

  std::shared_ptr<void> token_;
  const std::shared_ptr<Connection> connection_;
  Member member_;
  Read read_;
  Write write_;
  const std::unique_ptr<grpc::ByteBuffer> buffer_;  // of the read under way

  mutable Mutex mutex_;
  OnFault on_fault_ GUARDED_BY(mutex_);
  std::deque<Outgoing> outgoing_ GUARDED_BY(mutex_);
  std::deque<std::unique_ptr<Frame>> incoming_ GUARDED_BY(mutex_);
  size_t incoming_bytes_ GUARDED_BY(mutex_) = 0;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;     // by goodbye, fault or break
  bool received_ GUARDED_BY(mutex_) = false;  // the peer answered our goodbye or fault
  bool gone_ GUARDED_BY(mutex_) = false;      // no more reads
  bool draining_ GUARDED_BY(mutex_) = false;
};

}  // namespace trireme
