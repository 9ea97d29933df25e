#include "ps/protocol/grpc_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "core/base/hand_over.h"
#include "core/base/heap.h"
#include "core/base/logging.h"
#include "distributed/connection/acceptor.h"

namespace trireme::ps {
namespace {

constexpr int kMostThreads = 4;

class AcceptedStream final : public GrpcStream {
 public:
  AcceptedStream()
      : context_(std::make_unique<grpc::GenericServerContext>()),
        call_(std::make_unique<grpc::GenericServerAsyncReaderWriter>(context_.get())) {}

  void request(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue,
               GrpcEvent* event) {
    hand_over(event);
    service.RequestCall(context_.get(), call_.get(), &queue, &queue, event);
  }

  std::string metadata(const char* key) const {
    const auto& all = context_->client_metadata();
    const auto found = all.find(key);
    return found == all.end() ? "" : std::string(found->second.data(), found->second.size());
  }
  std::string method() const { return context_->method(); }
  std::string peer() const { return context_->peer(); }

  void welcome(const std::string& shared_memory_host, OnBytes on_bytes, OnOver on_over) {
    context_->AddInitialMetadata(kWelcomeKey, "1");
    if (!shared_memory_host.empty()) context_->AddInitialMetadata(kHostKey, shared_memory_host);
    set_events(std::move(on_bytes), std::move(on_over));
    open();
  }

  void refuse_with(grpc::StatusCode code, const std::string& peer, const std::string& why,
                   OnOver on_over) {
    log_error(str_cat("refused a connection of ", peer, ": ", why));
    status_ = {code, why};
    set_events([](auto) {}, std::move(on_over));
    refuse();
  }

 protected:
  void start_opening(GrpcEvent* event) override {
    auto& call = *call_;  // read before another thread may have it
    hand_over(event);
    call.SendInitialMetadata(event);
  }
  void start_read(grpc::ByteBuffer* buffer, GrpcEvent* event) override {
    auto& call = *call_;  // read before another thread may have it
    hand_over(event);
    call.Read(buffer, event);
  }
  void start_write(const grpc::ByteBuffer& buffer, GrpcEvent* event) override {
    auto& call = *call_;  // read before another thread may have it
    hand_over(event);
    call.Write(buffer, event);
  }
  void start_cancel() override { context_->TryCancel(); }
  void start_finish(GrpcEvent* event) override {
    auto& call = *call_;  // read before another thread may have it
    hand_over(event);
    call.Finish(status_, event);
  }
  Error finished() override {
    call_ = nullptr;
    context_ = nullptr;
    return {ErrorCode::kUnavailable, "the connection was closed"};
  }

 private:
  std::unique_ptr<grpc::GenericServerContext> context_;
  std::unique_ptr<grpc::GenericServerAsyncReaderWriter> call_;
  grpc::Status status_;
};

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(const RpcServerOptions& options, RequestHandler handler)
      : options_(options),
        handler_(std::make_shared<const RequestHandler>(std::move(handler))),
        buffers_(std::make_shared<BufferPool>(kKeptBytes)),
        acceptor_({.host = options.listen,
                   .port = options.port,
                   .security = {.secret = options.secret, .encryption = options.encryption},
                   .job_id = options.job_id,
                   .what = "a parameter server",
                   .user_timeout = kUnacknowledged}) {
    grpc::ServerBuilder builder;
    for_each_channel_argument(
        [&](const char* name, int value) { builder.AddChannelArgument(name, value); });
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.RegisterAsyncGenericService(&service_);
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    const int threads = std::clamp(cores / 2, 1, kMostThreads);
    for (int i = 0; i < threads; ++i) queues_.push_back(builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    TRIREME_CHECK(server_ != nullptr, "gRPC made no server");
    for (const auto& queue : queues_) {
      accept(*queue);
      threads_.emplace_back([&queue = *queue] { run_events(queue); });
      pthread_setname_np(threads_.back().native_handle(), "ps tcp");
    }
    acceptor_.start([this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
  }

  ~GrpcServer() override {
    acceptor_.stop();
    std::set<std::shared_ptr<AcceptedStream>> streams;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      streams = streams_;
    }
    for (const auto& stream : streams) {
      stream->end({ErrorCode::kUnavailable, "the server was stopped"});
    }
    streams.clear();
    server_->Shutdown(std::chrono::system_clock::now());
    {
      MutexLock lock(mutex_);
      while (!streams_.empty() || accepting_ > 0) changed_.wait(mutex_);
    }
    for (const auto& queue : queues_) queue->Shutdown();
    for (std::thread& thread : threads_) thread.join();
  }

  std::string address() const override { return acceptor_.address(); }
  std::string shared_memory_host() const override {
    return options_.shared_memory ? host_for_rings() : "";
  }

 private:
  // Waits for the next call on a queue.
  struct Accept final : GrpcEvent {
    void done(bool ok) override {
      const std::unique_ptr<Accept> self(this);
      server->accepted(ok ? std::move(stream) : nullptr, *queue);
    }
    GrpcServer* server = nullptr;
    grpc::ServerCompletionQueue* queue = nullptr;
    std::shared_ptr<AcceptedStream> stream;
  };

  void accept(grpc::ServerCompletionQueue& queue) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      ++accepting_;
    }
    auto* next = new Accept;
    next->server = this;
    next->queue = &queue;
    next->stream = std::make_shared<AcceptedStream>();
    next->stream->request(service_, queue, next);
  }

  void accepted(const std::shared_ptr<AcceptedStream>& stream, grpc::ServerCompletionQueue& queue)
      EXCLUDES(mutex_) {
    if (stream != nullptr) accept(queue);
    bool wanted = stream != nullptr;
    {
      MutexLock lock(mutex_);
      --accepting_;
      wanted = wanted && !stopping_;
      // A call that came too late: gRPC's objects go with the stream.
      if (wanted) streams_.insert(stream);
      changed_.notify_all();
    }
    if (wanted) greet(stream);
  }

  void greet(const std::shared_ptr<AcceptedStream>& stream) {
    const auto gone = [this, raw = stream.get()](const Error& /*why*/) { forget(raw); };
    const std::string peer = acceptor_.peer_of(stream->peer());
    const std::string session = stream->metadata(kSessionKey);
    if (stream->method() != kMethod) {
      stream->refuse_with(grpc::StatusCode::UNIMPLEMENTED, peer,
                          str_cat("this port of a parameter server serves only ", kMethod), gone);
    } else if (stream->metadata(kVersionKey) != kFrameVersion || session.empty()) {
      stream->refuse_with(grpc::StatusCode::FAILED_PRECONDITION, peer,
                          str_cat("expected version ", kFrameVersion,
                                  " of the frames; use the same version of Trireme everywhere"),
                          gone);
    } else {
      welcome(stream, session_of(session), gone);
    }
  }

  void welcome(const std::shared_ptr<AcceptedStream>& stream,
               const std::shared_ptr<Session>& session, const GrpcStream::OnOver& gone) {
    AcceptedStream* const raw = stream.get();  // outlives what it calls
    auto peer = std::make_shared<ServerPeer>(
        ServerPeer::Options{.name = acceptor_.peer_of(stream->peer()),
                            .max_message_bytes = options_.max_message_bytes,
                            .shared_memory = options_.shared_memory},
        session, buffers_, stream, [raw](const Error& why) { raw->end(why); });
    stream->welcome(
        shared_memory_host(), [peer](std::span<const std::byte> bytes) { peer->feed(bytes); },
        [peer, gone](const Error& why) {
          peer->close();
          gone(why);
        });
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

  void forget(AcceptedStream* stream) EXCLUDES(mutex_) {
    const auto kept = std::static_pointer_cast<AcceptedStream>(stream->shared_from_this());
    MutexLock lock(mutex_);
    streams_.erase(kept);
    changed_.notify_all();
  }

  const RpcServerOptions options_;
  const std::shared_ptr<const RequestHandler> handler_;
  const std::shared_ptr<BufferPool> buffers_;
  Acceptor acceptor_;
  grpc::AsyncGenericService service_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::thread> threads_;

  Mutex mutex_;
  ConditionVariable changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  int accepting_ GUARDED_BY(mutex_) = 0;
  std::set<std::shared_ptr<AcceptedStream>> streams_ GUARDED_BY(mutex_);
  std::map<std::string, std::weak_ptr<Session>> sessions_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<RpcServer> make_grpc_server(const RpcServerOptions& options,
                                            RequestHandler handler) {
  keep_freed_memory();  // gRPC allocates what it reads into
  return std::make_unique<GrpcServer>(options, std::move(handler));
}

}  // namespace trireme::ps
