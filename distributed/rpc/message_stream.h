// One bidirectional stream of messages to one peer, over a connection of its own: frames out,
// messages in, and its end. The dialling and the accepting end are alike once they have agreed.
//
// Frames go out in the order in which they were sent. One message at a time is with gRPC: as many
// waiting frames as fit into it, or a piece of a frame that does not. Pieces of a frame are not
// copied but when they are small. Nothing blocks.
//
// All calls may come from any thread, also from the listener's, before the start and after the end;
// what comes too late does nothing. The first reason for an end counts. What gRPC reports arrives
// at the listener, one call at a time, on the thread that runs the queue's events. A stream that
// was started lives until it has reported its end; gRPC's objects and the listener are gone then.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/rpc/event_queue.h"
#include "distributed/rpc/owned_bytes.h"
#include "distributed/rpc/received_message.h"
#include "distributed/rpc/stream_settings.h"

namespace grpc {
class ByteBuffer;
class Slice;
}  // namespace grpc

namespace trireme {

class StreamCall;

// What the two ends say of themselves first, by key: lower case, each value one line of text.
using StreamMetadata = std::map<std::string, std::string>;

class StreamListener {
 public:
  virtual ~StreamListener() = default;
  // Both ends have agreed. `answer`: what the accepting end says; empty at that end.
  virtual void on_open(const StreamMetadata& /*answer*/) {}
  // Throws Error for bytes that cannot be believed: that ends the stream.
  virtual void on_message(ReceivedMessage message) = 0;
  // The last call, once. `why`: the Error that this end gave; otherwise what error_of() makes of
  // gRPC's status, or of a refusal by the peer.
  virtual void on_end(const Error& why, bool by_this_end) = 0;
};

// A call, by the dialling end.
struct StreamRequest {
  std::string address;  // of the peer
  std::string method;   // "/package.Service/Method"
  StreamMetadata metadata;
  StreamSettings settings;
  bool starts_paused = false;  // nothing is read until resume()
};

class MessageStream : public std::enable_shared_from_this<MessageStream> {
 public:
  // A piece of up to so many bytes is copied: cheaper than to wait until gRPC has let go of it.
  static constexpr size_t kCopiedBytes = 8 << 10;

  MessageStream();
  ~MessageStream();
  MessageStream(const MessageStream&) = delete;

  // Starts the call on `socket`, whose peer has proved the job's secret, and takes it over. Once.
  void dial(int socket, const StreamRequest& request, EventQueue& queue,
            std::shared_ptr<StreamListener> listener) EXCLUDES(mutex_);

  // Queues a frame: `head`, which is copied, and then the pieces. One without an owner is copied
  // too.
  void send(std::span<const std::byte> head, std::span<const OwnedBytes> pieces = {})
      EXCLUDES(mutex_);
  // Drops the frames that wait. REQUIRES: none is longer than a message.
  void drop_unsent() EXCLUDES(mutex_);
  bool has_unsent() const EXCLUDES(mutex_);  // gRPC has not reported all that was sent

  // Stops reading after the message that is under way, and goes on. The peer can then send as much
  // as the window, and waits. A connection that breaks meanwhile is found out by resume(): who
  // pauses sees to it that one of resume() and end() follows.
  void pause() EXCLUDES(mutex_);
  void resume() EXCLUDES(mutex_);

  // Ends it now. What waits is dropped; gRPC may refer to the message under way until the end was
  // reported.
  void end(const Error& why) EXCLUDES(mutex_);

 private:
  friend class IncomingCall;
  struct FrameQueue;
  using Done = void (MessageStream::*)(bool ok);
  struct Event final : RpcEvent {
    void done(bool ok) override;
    Done then = nullptr;
    std::shared_ptr<MessageStream> keep;  // while under way
  };

  void start(std::shared_ptr<StreamCall> call, std::shared_ptr<StreamListener> listener,
             EventQueue& queue, size_t message_bytes, bool starts_paused) EXCLUDES(mutex_);
  void on_opened(bool ok) EXCLUDES(mutex_);
  void on_read(bool ok) EXCLUDES(mutex_);
  void on_written(bool ok) EXCLUDES(mutex_);
  void on_finished(bool ok) EXCLUDES(mutex_);
  void read();
  void write(std::vector<grpc::Slice> message);
  // One operation less is under way; the last one of a stream that is over finishes the call.
  void release() EXCLUDES(mutex_);
  RpcEvent& begin(Event& event, Done then);

  Event opening_, reading_, writing_, finishing_;
  const std::unique_ptr<grpc::ByteBuffer> buffer_;  // of the read under way
  std::shared_ptr<StreamListener> listener_;
  std::optional<EventQueue::Use> use_;
  // From start() to the end: set and reset under the lock, read without it by operations.
  std::shared_ptr<StreamCall> call_;

  mutable Mutex mutex_;
  const std::unique_ptr<FrameQueue> frames_ GUARDED_BY(mutex_);
  bool opened_ GUARDED_BY(mutex_) = false;
  bool is_reading_ GUARDED_BY(mutex_) = false;
  bool is_writing_ GUARDED_BY(mutex_) = false;
  bool wants_messages_ GUARDED_BY(mutex_) = true;
  int under_way_ GUARDED_BY(mutex_) = 0;  // gRPC's operations, and who is about to start one
  bool over_ GUARDED_BY(mutex_) = false;  // nothing new is begun but the finish
  bool finishing_now_ GUARDED_BY(mutex_) = false;
  std::optional<Error> why_ GUARDED_BY(mutex_);
};

}  // namespace trireme
