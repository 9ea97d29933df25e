#include <pthread.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "core/base/heap.h"
#include "core/base/logging.h"
#include "distributed/rpc/stream_server.h"
#include "ps/protocol/frame_stream.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/server_peer.h"

namespace trireme::ps {
namespace {

constexpr int kMostThreads = 4;

int thread_count() {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(cores / 2, 1, kMostThreads);
}

// What a stream that is welcome reports.
class Listener final : public StreamListener {
 public:
  // `sink` carries the peer's answers.
  Listener(std::shared_ptr<FrameSink> sink, std::shared_ptr<ServerPeer> peer)
      : sink_(std::move(sink)), peer_(std::move(peer)) {}
  void on_message(ReceivedMessage message) override {
    while (message.left() > 0) peer_->feed(message.read_piece());
  }
  void on_end(const Error& /*why*/, bool /*by_this_end*/) override { peer_->close(); }

 private:
  const std::shared_ptr<FrameSink> sink_;
  const std::shared_ptr<ServerPeer> peer_;
};

class Server final : public RpcServer {
 public:
  Server(const RpcServerOptions& options, RequestHandler handler)
      : options_(options),
        handler_(std::make_shared<const RequestHandler>(std::move(handler))),
        buffers_(std::make_shared<BufferPool>(kKeptBytes)),
        server_({.port = {.host = options.listen,
                          .port = options.port,
                          .security = {.secret = options.secret, .encryption = options.encryption},
                          .job_id = options.job_id,
                          .what = "a parameter server",
                          .user_timeout = kUnacknowledged},
                 .settings = kFrameStreamSettings,
                 .method = kMethod,
                 .what = "this port of a parameter server",
                 .queues = thread_count()},
                [this](std::unique_ptr<IncomingCall> call) { greet(*call); }) {
    for (const auto& queue : server_.queues()) {
      threads_.emplace_back([&queue = *queue] {
        while (queue.run_one(EventQueue::TimePoint::max())) {
        }
      });
      pthread_setname_np(threads_.back().native_handle(), "ps tcp");
    }
    server_.start();
  }

  ~Server() override {
    server_.stop();
    for (const auto& queue : server_.queues()) {
      queue->wait_until_unused();
      queue->shut_down();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  std::string address() const override { return server_.address(); }
  std::string shared_memory_host() const override {
    return options_.shared_memory ? host_for_rings() : "";
  }

 private:
  void greet(IncomingCall& call) {
    const std::string session = call.metadata(kSessionKey);
    if (call.metadata(kVersionKey) == kFrameVersion && !session.empty()) {
      return welcome(call, session_of(session));
    }
    const Error why = failed("expected version ", kFrameVersion,
                             " of the frames; use the same version of Trireme everywhere");
    log_error(str_cat("refused a connection of ", call.peer(), ": ", why.what()));
    call.refuse(why);
  }

  void welcome(IncomingCall& call, const std::shared_ptr<Session>& session) {
    const auto stream = std::make_shared<MessageStream>();
    const auto sink = std::make_shared<FrameStream>(stream);
    const auto peer = std::make_shared<ServerPeer>(
        ServerPeer::Options{.name = call.peer(),
                            .max_message_bytes = options_.max_message_bytes,
                            .shared_memory = options_.shared_memory},
        session, buffers_, sink, [raw = stream.get()](const Error& why) {
          raw->end(why);  // outlives what it calls
        });
    const std::string host = shared_memory_host();
    call.accept(*stream, host.empty() ? StreamMetadata() : StreamMetadata{{kHostKey, host}},
                std::make_shared<Listener>(sink, peer));
  }

  // The session of this name: its first stream makes it.
  std::shared_ptr<Session> session_of(const std::string& name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::erase_if(sessions_, [](const auto& entry) { return entry.second.expired(); });
    std::shared_ptr<Session> session = sessions_[name].lock();
    if (session == nullptr) {
      session = std::make_shared<Session>(handler_);
      sessions_[name] = session;
    }
    return session;
  }

  const RpcServerOptions options_;
  const std::shared_ptr<const RequestHandler> handler_;
  const std::shared_ptr<BufferPool> buffers_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<Session>> sessions_ GUARDED_BY(mutex_);
  StreamServer server_;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<RpcServer> make_rpc_server(const RpcServerOptions& options,
                                           RequestHandler handler) {
  keep_freed_memory();  // gRPC allocates what it reads into
  return std::make_unique<Server>(options, std::move(handler));
}

}  // namespace trireme::ps
