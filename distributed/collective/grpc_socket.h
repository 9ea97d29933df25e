// The TCP connections below the grpc backend, made and accepted here and then given to gRPC.
//
// Owning the connections lets a communicator break one at once, whatever gRPC still holds for a
// peer that has stopped reading: only then may the caller's memory be reused after a fault.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "core/base/thread_annotations.h"

namespace trireme {

// A second handle on a connection that gRPC owns.
class GrpcConnection {
 public:
  explicit GrpcConnection(int fd);  // duplicates it
  ~GrpcConnection();
  GrpcConnection(const GrpcConnection&) = delete;

  void break_off() const;
  bool is_over() const;  // both directions are shut
  int handle() const { return handle_; }

 private:
  int handle_ = -1;
};

// Connects to "host:port", trying again while nobody listens there. The socket does not block and
// sends at once. Throws Error{kUnavailable} at the deadline, naming the address and the last cause.
// `check` is called before each try, and may throw to end them.
int connect_to(const std::string& address, std::chrono::steady_clock::time_point deadline,
               const std::function<void()>& check);

// Accepts on a thread of its own ("collective tcp"), which calls `on_accept` with each new socket.
class GrpcListener {
 public:
  // Binds an ephemeral port of `host`. Throws Error{kUnavailable} naming the address.
  GrpcListener(const std::string& host, std::function<void(int fd)> on_accept);
  ~GrpcListener();
  GrpcListener(const GrpcListener&) = delete;

  void stop();  // no more calls

  const std::string& address() const { return address_; }  // "host:port"
  // The connection that was accepted as this descriptor, which gRPC calls "fd:<number>"; null when
  // it is over.
  std::shared_ptr<GrpcConnection> find(const std::string& grpc_name) const EXCLUDES(mutex_);

 private:
  void run();
  void accept_one();

  const std::function<void(int)> on_accept_;
  int socket_ = -1;
  int stop_ = -1;  // an eventfd
  std::string address_;
  mutable Mutex mutex_;
  // By the descriptor that gRPC has. Connections that are over are forgotten.
  std::map<int, std::shared_ptr<GrpcConnection>> connections_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
