// The accepting end of MessageStreams: a port (see Acceptor) with gRPC behind it, and the calls
// that arrive there.
//
// Its owner runs the events of its queues, each by one thread at a time, until after stop().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/connection/acceptor.h"
#include "distributed/rpc/message_stream.h"

namespace grpc {
class AsyncGenericService;
class Server;
class ServerCompletionQueue;
}  // namespace grpc

namespace trireme {

// A call that has arrived. accept() or refuse() it, once; the peer's call breaks when it is dropped
// without.
class IncomingCall {
 public:
  ~IncomingCall();
  IncomingCall(const IncomingCall&) = delete;

  const std::string& peer() const { return peer_; }  // its address, for messages
  // With AcceptorOptions::keeps_connections. Null when it is over.
  const std::shared_ptr<Connection>& connection() const { return connection_; }
  std::string method() const;
  // What the dialling end says; empty: nothing.
  std::string metadata(const std::string& key) const;

  // Starts `stream`, which is new; the dialling end hears `answer`.
  void accept(MessageStream& stream, const StreamMetadata& answer,
              std::shared_ptr<StreamListener> listener, bool starts_paused = false);
  // The peer hears why, as error_of() says.
  void refuse(const Error& why);

 private:
  friend class StreamServer;
  struct Call;
  explicit IncomingCall(std::shared_ptr<Call> call);

  std::shared_ptr<Call> call_;
  std::string peer_;
  std::shared_ptr<Connection> connection_;
};

class StreamServer {
 public:
  struct Options {
    AcceptorOptions port;
    StreamSettings settings;
    std::string method;  // the only one: others are refused
    std::string what = "this port";
    int queues = 1;
  };
  // Called on the thread that runs a queue's events.
  using OnCall = std::function<void(std::unique_ptr<IncomingCall>)>;

  // Binds and listens, as Acceptor does; whoever connects waits until start().
  StreamServer(Options options, OnCall on_call);
  // REQUIRES: stop(), and no queue is used any more.
  ~StreamServer();
  StreamServer(const StreamServer&) = delete;

  const std::string& address() const { return acceptor_.address(); }  // "host:port"
  const std::vector<std::unique_ptr<EventQueue>>& queues() const { return queues_; }

  // When somebody runs the events.
  void start();
  // Accepts no more and breaks all connections. Streams report their end, those that are paused
  // when they are ended; on_call may be called until the queues are not used any more.
  void stop() EXCLUDES(mutex_);

 private:
  struct Request;
  void request(size_t queue) EXCLUDES(mutex_);
  void on_arrived(std::shared_ptr<IncomingCall::Call> call);

  const Options options_;
  const OnCall on_call_;
  Acceptor acceptor_;
  const std::unique_ptr<grpc::AsyncGenericService> service_;
  std::vector<grpc::ServerCompletionQueue*> grpc_queues_;
  std::vector<std::unique_ptr<EventQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace trireme
