// A worker's connections to the parameter servers, and which slots can be asked over them.
//
// A thread for each server ("ps-link") connects, again and again while the server should be there,
// and says what the job wants of a slot before anything else is asked of it. Calls may come from
// any thread. Callbacks come on these threads or the transport's, without a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/server_view.h"
#include "ps/protocol/rpc.h"

namespace trireme::ps {

// What is known where a request is sent to.
struct Destination {
  int64_t view = 0, epoch = 0;
  bool needs_keys = false;  // the server said so
};

struct ServerLinkOptions {
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  bool shared_memory = true;
  int connections = 2;
  std::chrono::milliseconds setup_timeout{10'000};  // then it is sent again
  std::function<std::shared_ptr<RpcConnection>(const ConnectOptions&)> connect = connect_rpc;
  // To a slot's primary, first of all, in each epoch; and what it answered.
  std::function<OutMessage(int slot, const Destination&)> make_setup;
  std::function<void(int slot, const SlotEntry& entry, const Message& answer)> on_setup;
  std::function<void(int server)> suspect;
  // What any server that holds this slot answers at once.
  std::function<OutMessage(int slot, const Destination&)> make_probe;
};

class ServerLinks {
 public:
  using Clock = std::chrono::steady_clock;
  struct Events {
    std::function<void()> on_ready;                      // a slot is ready that was not
    std::function<void(const Error& error)> on_refusal;  // a server will not have this job
  };

  ServerLinks(ServerLinkOptions options, const ServerView& view, Events events);
  ~ServerLinks();  // close()
  ServerLinks(const ServerLinks&) = delete;

  // REQUIRES: as many servers and slots as before.
  void set_view(const ServerView& view) EXCLUDES(mutex_);
  // Connects no more.
  void fail(const Error& error) EXCLUDES(mutex_);
  // Ends all connections. What is under way over them fails before this returns.
  void close() EXCLUDES(mutex_);

  // Where a slot can be asked.
  struct Route {
    int server = 0;
    uint64_t connection = 0;  // its number among the server's
    std::shared_ptr<RpcConnection> data, control;
    Destination destination;
  };
  // Nothing while the slot has no server, or has not been set up there.
  std::optional<Route> route_to(int slot) const EXCLUDES(mutex_);
  bool is_ready(int slot) const EXCLUDES(mutex_);
  // Until every slot is. Throws what fail() was told, kDeadlineExceeded naming who is missing.
  void wait_until_ready(std::chrono::milliseconds timeout) EXCLUDES(mutex_);

  // What was asked over this connection was lost with it.
  void note_broken(int server, uint64_t connection) EXCLUDES(mutex_);
  // The server knows nothing of the job's slot. False when that connection is over.
  bool set_up_again(int server, uint64_t connection, int slot) EXCLUDES(mutex_);
  // Tells the directory that the server may be gone.
  void suspect(int server) const { options_.suspect(server); }

  // Asks the server for a sign of life, unless it owes one. A request may wait for others for good
  // reason, and a stopped process keeps its connections.
  void probe(int server, std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  // Since when it owes one.
  std::optional<Clock::time_point> silent_since(int server) const EXCLUDES(mutex_);

 private:
  struct Link;

  void keep_link(Link& link);  // thread
  bool needs_connection(const Link& link) const REQUIRES(mutex_);
  int slot_to_set_up(const Link& link) const REQUIRES(mutex_);
  void connect(Link& link, const ServerEntry& server) EXCLUDES(mutex_);
  void set_up(Link& link, int slot) EXCLUDES(mutex_);
  void take_setup(Link& link, uint64_t connection, int slot, const SlotEntry& entry,
                  RpcResult result) EXCLUDES(mutex_);
  Link* ready_link(int slot) const REQUIRES(mutex_);
  Link& link(int server) const { return *links_[static_cast<size_t>(server)]; }

  const ServerLinkOptions options_;
  const Events events_;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<Error> fatal_ GUARDED_BY(mutex_);
  ServerView view_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Link>> links_;  // by server; what is in them: under the lock
};

}  // namespace trireme::ps
