// The port of a server of a job: it accepts connections, lets each peer prove that it knows the
// job's secret, and only then hands the connection over. Nothing behind it is reachable before.
//
// A peer that has not proved itself costs one descriptor, less than a kilobyte (and, where the
// job's connections are encrypted, one TLS session), a bounded number of log lines, and at most
// ten seconds; kMostUnproven of them wait at a time. One thread of its own ("acceptor").
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/connection/connection.h"
#include "distributed/connection/pending_stream.h"

namespace trireme {

// So many tasks can prove themselves side by side; a burst of thousands waits in the backlog.
inline constexpr size_t kMostUnproven = 256;
// A busy task needs some hundred milliseconds. Not extended by bytes that dribble in.
inline constexpr std::chrono::milliseconds kProofTime{10'000};

struct AcceptorOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any that is free
  Security security;
  std::string job_id;
  std::string what = "this task";  // "the coordinator": for messages
  // A port that is taken is tried for so long: the task that had it may still be ending.
  std::chrono::milliseconds port_is_freed{0};
  // How long a peer may take to prove itself.
  std::chrono::milliseconds proof_time = kProofTime;
  // What was sent and is not acknowledged for so long breaks a connection. 0: as the system has it.
  std::chrono::milliseconds user_timeout{0};
  // Keeps a Connection for each that was handed over, for find(): another descriptor each.
  bool keeps_connections = false;
  // Called on the acceptor's thread. Null: log_warning().
  std::function<void(const std::string&)> log = nullptr;
};

class Acceptor {
 public:
  // Binds and listens; whoever connects waits until start(). Throws Error naming the address: by
  // the reason kInvalidArgument or kResourceExhausted; kInvalidArgument when there is no secret and
  // the address is not loopback.
  explicit Acceptor(AcceptorOptions options);
  ~Acceptor();  // stop()
  Acceptor(const Acceptor&) = delete;

  // `on_accept` is called on the acceptor's thread with each descriptor whose peer has proved
  // itself; it takes it over.
  void start(std::function<void(int fd)> on_accept);
  // No more calls; what has not proved itself is closed. The port stays taken until the end.
  void stop();

  const std::string& address() const { return address_; }  // "host:port"
  int port() const { return port_; }
  // gRPC calls a connection "fd:<number>": the address of the peer, else the name itself.
  std::string peer_of(const std::string& grpc_name) const EXCLUDES(mutex_);
  // REQUIRES: keeps_connections. Null when it is over.
  std::shared_ptr<Connection> find(const std::string& grpc_name) const EXCLUDES(mutex_);

  struct Counts {
    uint64_t welcomed = 0, refused = 0;
    size_t unproven = 0;
  };
  Counts counts() const EXCLUDES(mutex_);

 private:
  void forget_what_is_over() REQUIRES(mutex_);

  const AcceptorOptions options_;
  std::vector<int> sockets_;
  int stop_ = -1;  // an eventfd
  int port_ = 0;
  std::string address_;
  mutable Mutex mutex_;
  // By the descriptor that was handed over. Overwritten when the system gives the number again.
  std::map<int, std::string> peers_ GUARDED_BY(mutex_);
  std::map<int, std::shared_ptr<Connection>> connections_ GUARDED_BY(mutex_);
  Counts counts_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trireme
