// The two ends of a stream of the grpc backend, and how they find each other.
//
// The member with the higher index in its group dials; the other accepts. All functions may be
// called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "distributed/cluster/peer.h"
#include "distributed/collective/grpc_stream.h"
#include "distributed/connection/acceptor.h"

namespace grpc {
class AsyncGenericService;
class ServerBuilder;
class ServerCompletionQueue;
class CompletionQueue;
}  // namespace grpc

namespace trireme {

// Bounds and window sizes of each connection, for servers; dialled ones have the same.
void configure(grpc::ServerBuilder& builder);

// What a stream that dials says of itself.
struct GrpcHello {
  int version = SegmentHeader::kVersion;
  std::string job_id;
  int64_t generation = 0;
  uint32_t member = 0;  // who dials
  int channel = 0;
};

// The dialling side.
class GrpcDialledStream : public GrpcStream {
 public:
  // Starts the call on `socket`, which it takes over.
  static std::shared_ptr<GrpcDialledStream> dial(int socket, const GrpcHello& hello,
                                                 const std::string& target,
                                                 grpc::CompletionQueue* queue);
  enum class State { kWaiting, kWelcome, kRefused };
  virtual State state() const = 0;
  // REQUIRES: state() is kRefused. kUnavailable: the connection broke; another attempt may help.
  virtual Error refusal() const = 0;

 protected:
  using GrpcStream::GrpcStream;
};

// The accepting side.
class GrpcAcceptedStream : public GrpcStream {
 public:
  virtual const GrpcHello& hello() const = 0;
  // One of the two, once.
  virtual void welcome() = 0;
  virtual void refuse(const Error& why) = 0;

 protected:
  using GrpcStream::GrpcStream;
};

// Waits for the next call to arrive, then gives it to `on_call`, on the thread that polls; never
// when the server shuts down first. The stream is null when it was over at once.
using OnGrpcCall = std::function<void(std::shared_ptr<GrpcAcceptedStream>)>;
void request_call(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue,
                  const Acceptor& acceptor, OnGrpcCall on_call);

}  // namespace trireme
