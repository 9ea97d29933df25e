// gRPC's call under a MessageStream: what differs between the two ends. Private to distributed/rpc.
#pragma once

#include <optional>

#include "core/base/error.h"
#include "distributed/rpc/event_queue.h"
#include "distributed/rpc/message_stream.h"

namespace trireme {

// In the answer of an accepting end that has agreed; without it the status says why not.
inline constexpr char kWelcomeKey[] = "x-trireme-welcome";

class StreamCall {
 public:
  virtual ~StreamCall() = default;

  // Each starts an operation, which runs `event` at its end.
  virtual void start(RpcEvent& event) = 0;  // until both ends can have agreed
  virtual void read(grpc::ByteBuffer* to, RpcEvent& event) = 0;
  virtual void write(const grpc::ByteBuffer& message, RpcEvent& event) = 0;
  virtual void finish(RpcEvent& event) = 0;  // REQUIRES: nothing else is under way, nor will be

  virtual void cancel() = 0;
  // The peer sends no more: makes a write end that it may never read.
  virtual void give_up_writing() {}
  // REQUIRES: start() is done. What the peer answers; nothing when it has not agreed.
  virtual std::optional<StreamMetadata> answer() = 0;
  // REQUIRES: finish() is done.
  virtual Error status() const = 0;
};

}  // namespace trireme
