// The segments of one stream to one peer: out, in, and its orderly or other end.
//
// Made by the endpoint on either side of the connection, then owned by a transport, which opens it
// and cancels it. send(), take() and the rest belong to the transport's thread; what gRPC reports
// arrives through GrpcProgress, on the thread that polls. Reading stops while more than a few
// segments wait to be taken, so that a fast peer is held back by flow control.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/collective/grpc_hello.h"
#include "distributed/collective/grpc_inquiry.h"
#include "distributed/connection/connection.h"
#include "distributed/rpc/message_stream.h"
#include "distributed/rpc/stream_server.h"

namespace trireme {

// Counts the pieces of the caller's memory that gRPC still refers to.
using GrpcBorrowed = std::shared_ptr<std::atomic<int>>;

class SegmentStream final : public StreamListener,
                            public std::enable_shared_from_this<SegmentStream> {
 public:
  struct Member {
    std::string name;  // the peer's, for messages
    uint32_t peer = 0, me = 0;
    int64_t generation = 0;
    std::shared_ptr<GrpcInquiry> inquiry;  // hears what kWaiting says
  };
  // Called at most once, by the thread that polls or by open(): the stream broke or the peer sent
  // garbage; or it reported a fault of its own.
  using OnFault = std::function<void(const Error& cause)>;

  // The member with the higher index in its group dials: starts the call on `socket`, which it
  // takes over.
  static std::shared_ptr<SegmentStream> dial(int socket, const GrpcHello& hello,
                                             const std::string& address, EventQueue& queue);
  // The other one accepts. REQUIRES: the call's connection() is there.
  static std::shared_ptr<SegmentStream> accept(IncomingCall& call);

  // Of the dialling end.
  enum class State { kWaiting, kWelcome, kRefused };
  State state() const { return state_.load(std::memory_order_acquire); }
  // REQUIRES: state() is kRefused. kInvalidArgument, kFailed: the peer will not have this member;
  // otherwise another attempt may help.
  Error refusal() const EXCLUDES(mutex_);

  // Begins to read. Once, when both sides have agreed.
  void open(Member member, OnFault on_fault) EXCLUDES(mutex_);

  // Queues a segment. More than a little `data` is not copied: it is counted in `borrowed` for as
  // long as it must stay as it is.
  void send(const SegmentHeader& header, const void* data, const GrpcBorrowed& borrowed);
  // Drops what has not been handed to gRPC yet, and sends this one instead.
  void send_last(const SegmentHeader& header, const void* data);

  bool readable() const EXCLUDES(mutex_);                // take() will find a segment
  bool ended() const EXCLUDES(mutex_);                   // nothing more will come
  bool answered() const EXCLUDES(mutex_);                // the peer has everything, or is gone
  bool unsent() const { return stream_->has_unsent(); }  // something has not left for the network
  // Copies the next segment to `data`. REQUIRES: readable(). Throws Error{kDataLoss} when it is
  // another than expected.
  void take(uint64_t sequence, uint64_t total, uint64_t offset, size_t bytes, void* data)
      EXCLUDES(mutex_);

  // Nothing will be taken any more: reads on, to see the end, and drops what comes.
  void drain() EXCLUDES(mutex_);
  // Ends it now; on_fault is not called any more. gRPC keeps what was borrowed until the stream is
  // over.
  void cancel() EXCLUDES(mutex_);
  // Breaks the connection below, which makes gRPC drop even what the kernel would not take.
  void break_connection() { connection_->break_off(); }

 private:
  struct Frame {
    explicit Frame(ReceivedMessage received) : message(std::move(received)) {}
    ReceivedMessage message;
    int segments = 0;  // of data, not taken yet
  };

  explicit SegmentStream(std::shared_ptr<Connection> connection);

  void on_open(const StreamMetadata& answer) override;
  void on_message(ReceivedMessage message) override EXCLUDES(mutex_);
  void on_end(const Error& why, bool by_this_end) override EXCLUDES(mutex_);

  // Returns why the frame cannot be believed; empty: it was queued or obeyed.
  std::string accept(Frame frame) EXCLUDES(mutex_);
  void fail(const Error& cause) EXCLUDES(mutex_);
  Error loss() const REQUIRES(mutex_);

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<MessageStream> stream_ = std::make_shared<MessageStream>();
  std::atomic<State> state_{State::kWaiting};

  mutable Mutex mutex_;
  Member member_;  // does not change once the stream is open
  OnFault on_fault_ GUARDED_BY(mutex_);
  std::deque<Frame> incoming_ GUARDED_BY(mutex_);
  size_t incoming_bytes_ GUARDED_BY(mutex_) = 0;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;         // by goodbye, fault or break
  bool received_ GUARDED_BY(mutex_) = false;      // the peer answered our goodbye or fault
  std::optional<Error> gone_ GUARDED_BY(mutex_);  // no more reads: what gRPC says
  bool draining_ GUARDED_BY(mutex_) = false;
};

}  // namespace trireme
