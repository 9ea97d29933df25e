// One bidirectional gRPC stream, which is one TCP connection of its own: frames out, bytes in, and
// its end. What the two sides of it have in common; grpc_server.cc and grpc_client.cc make them.
//
// send() and end() may be called from any thread. What gRPC reports arrives on the thread of the
// completion queue. Operations under way keep the stream alive, and gRPC's objects are gone when
// it is over, so that who holds it longer may do so.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "ps/protocol/frame.h"

namespace grpc {
class ByteBuffer;
class CompletionQueue;
class Slice;
}  // namespace grpc

namespace trireme::ps {

// What a completion queue's tags point to.
class GrpcEvent {
 public:
  virtual ~GrpcEvent() = default;
  virtual void done(bool ok) = 0;
};

class GrpcStream : public FrameSink, public std::enable_shared_from_this<GrpcStream> {
 public:
  // Throws Error for bytes that cannot be believed: that ends the stream.
  using OnBytes = std::function<void(std::span<const std::byte>)>;
  // The last call, once: gRPC has let go, and this is why.
  using OnOver = std::function<void(const Error& why)>;

  ~GrpcStream() override;
  GrpcStream(const GrpcStream&) = delete;

  void send(FrameHeader header, OutMessage message) override EXCLUDES(mutex_);
  // Ends it now, for this reason unless there is one already.
  void end(const Error& why) EXCLUDES(mutex_);

 protected:
  GrpcStream();

  // Once, before anything else.
  void set_events(OnBytes on_bytes, OnOver on_over) {
    on_bytes_ = std::move(on_bytes);
    on_over_ = std::move(on_over);
  }
  // Begins to read and to write what was queued, when `start_opening` is done.
  void open() EXCLUDES(mutex_);
  // Instead of open(): nothing but start_finish().
  void refuse() EXCLUDES(mutex_);

  // gRPC's calls; the event is done when they are.
  virtual void start_opening(GrpcEvent* event) = 0;
  virtual void start_read(grpc::ByteBuffer* buffer, GrpcEvent* event) = 0;
  virtual void start_write(const grpc::ByteBuffer& buffer, GrpcEvent* event) = 0;
  virtual void start_cancel() = 0;
  // REQUIRES: nothing else is under way, nor will be.
  virtual void start_finish(GrpcEvent* event) = 0;
  virtual void opened() {}  // reading begins
  // What gRPC says of the end. Lets go of gRPC's objects.
  virtual Error finished() = 0;

 private:
  enum class Step { kOpening, kReading, kWriting, kFinishing };
  struct Event final : GrpcEvent {
    void done(bool ok) override;
    GrpcStream* stream = nullptr;
    Step step = Step::kOpening;
    std::shared_ptr<GrpcStream> keep;  // while under way
  };

  void on_opened(bool ok) EXCLUDES(mutex_);
  void on_read(bool ok) EXCLUDES(mutex_);
  void on_written(bool ok) EXCLUDES(mutex_);
  void on_finished() EXCLUDES(mutex_);
  void write(std::vector<grpc::Slice> chunk);
  void read();
  std::vector<grpc::Slice> next_chunk() REQUIRES(mutex_);
  // One operation less is under way; the last one of a stream that is over finishes it.
  void release() EXCLUDES(mutex_);
  Event* start(Event& event, Step step);

  OnBytes on_bytes_;
  OnOver on_over_;
  Event opening_, reading_, writing_, finishing_;
  const std::unique_ptr<grpc::ByteBuffer> buffer_;  // of the read under way

  Mutex mutex_;
  std::deque<OutgoingFrame> outgoing_ GUARDED_BY(mutex_);
  bool may_write_ GUARDED_BY(mutex_) = false;  // open, and no write is under way
  int under_way_ GUARDED_BY(mutex_) = 0;       // gRPC's operations, and who is inside its calls
  bool over_ GUARDED_BY(mutex_) = false;       // nothing new is begun
  bool finished_ GUARDED_BY(mutex_) = false;
  std::optional<Error> why_ GUARDED_BY(mutex_);
};

// Runs what arrives at a completion queue until it is shut down and empty. `tick`, when given, is
// called after each event and says until when to wait for the next.
void run_events(grpc::CompletionQueue& queue,
                const std::function<std::chrono::steady_clock::time_point()>& tick = nullptr);
// Makes run_events() look around at once.
void wake(grpc::CompletionQueue& queue);

// The call and its metadata.
inline constexpr char kMethod[] = "/trireme.ps.ParameterServer/Exchange";
inline constexpr char kVersionKey[] = "x-trireme-version";
inline constexpr char kSessionKey[] = "x-trireme-session";  // equal for the streams of a connection
inline constexpr char kWelcomeKey[] = "x-trireme-welcome";  // the answer of a server that accepts
inline constexpr char kHostKey[] = "x-trireme-shared-memory-host";  // where it offers it
inline constexpr char kFrameVersion[] = "1";

// What was sent and is not acknowledged for so long breaks a connection.
inline constexpr std::chrono::milliseconds kUnacknowledged{20'000};

// Bytes of the stream that travel as one gRPC message, at most.
inline constexpr size_t kChunkBytes = size_t{1} << 20;

// Bounds and windows of every connection, server's or client's.
void for_each_channel_argument(const std::function<void(const char* name, int value)>& set);

}  // namespace trireme::ps
