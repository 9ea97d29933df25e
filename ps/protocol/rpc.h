// How bytes go between a task and a parameter server: requests and answers of any size, several
// under way at a time, over gRPC (any hosts) or shared memory (one host).
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/rpc/owned_bytes.h"

namespace trireme::ps {

// Of one request or answer.
inline constexpr size_t kMaxMessageBytes = size_t{1} << 30;

// Bytes somebody keeps alive. What was received is contiguous and aligned to 8.
using Message = OwnedBytes;

// Pieces that are sent one behind the other; owners live until they are sent.
struct OutMessage {
  std::vector<Message> pieces;
  size_t bytes() const;
};
// A piece that owns a copy of nothing: it takes the vector.
Message own(std::vector<std::byte> bytes);

// Answers one request, once, from any thread. Destroyed without an answer it answers kInternal.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void answer(OutMessage message) = 0;
};

// Called on the transport's threads, several at a time: must not block. Requests of one connection
// are handed over in the order in which they were sent.
using RequestHandler = std::function<void(Message request, std::unique_ptr<Responder> responder)>;

struct RpcServerOptions {
  std::string listen = "127.0.0.1";
  int port = 0;  // 0: any
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;  // of connections between hosts
  std::string job_id;
  size_t max_message_bytes = kMaxMessageBytes;  // a longer request is refused, the server lives
  bool shared_memory = true;                    // answer connections of this host there too
};

class RpcServer {
 public:
  virtual ~RpcServer() = default;           // refuses what still waits, ends all connections
  virtual std::string address() const = 0;  // "host:port"
  // What a task must have too for shared memory; empty: not offered.
  virtual std::string shared_memory_host() const = 0;
};
// Throws Error{kUnavailable} naming the address when it cannot be bound.
std::unique_ptr<RpcServer> make_rpc_server(const RpcServerOptions& options, RequestHandler handler);

// What became of a call: an answer, or why there is none (kUnavailable: the peer is gone,
// kDeadlineExceeded, kInvalidArgument: the secret).
struct RpcResult {
  Message answer;
  std::unique_ptr<Error> error;  // null: there is an answer
};

class RpcConnection {
 public:
  // Fails what is under way. Waits until nothing more is called, unless a `done` drops it: hold no
  // lock that a `done` takes.
  virtual ~RpcConnection() = default;
  // `done` is called once, on a thread of the transport, or at once when the connection is dead.
  virtual void call(OutMessage request, std::chrono::milliseconds timeout,
                    std::function<void(RpcResult)> done) = 0;
  virtual std::string peer() const = 0;  // for messages: "ps 1 (127.0.0.1:4711, shared memory)"
};

struct ConnectOptions {
  std::string address;
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  std::string name = "ps";  // for messages
  bool shared_memory = false;
  int connections = 1;  // TCP connections side by side; the order of requests is kept over all
  std::chrono::milliseconds connect_timeout{10'000};
  size_t max_message_bytes = kMaxMessageBytes;
};
// Throws Error{kUnavailable} when nobody answers in time, kInvalidArgument for a wrong secret.
std::shared_ptr<RpcConnection> connect_rpc(const ConnectOptions& options);

}  // namespace trireme::ps
