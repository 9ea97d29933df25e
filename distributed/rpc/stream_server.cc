#include "distributed/rpc/stream_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <chrono>
#include <utility>

#include "core/base/logging.h"
#include "distributed/rpc/grpc_setup.h"
#include "distributed/rpc/refusal.h"
#include "distributed/rpc/stream_call.h"

namespace trireme {

struct IncomingCall::Call final : StreamCall {
  Call(EventQueue& queue, size_t bytes) : use(queue), message_bytes(bytes) {}

  void start(RpcEvent& event) override { call.SendInitialMetadata(tag_of(event)); }
  void read(grpc::ByteBuffer* to, RpcEvent& event) override { call.Read(to, tag_of(event)); }
  void write(const grpc::ByteBuffer& message, RpcEvent& event) override {
    call.Write(message, tag_of(event));
  }
  void finish(RpcEvent& event) override { call.Finish(end, tag_of(event)); }
  void cancel() override { context.TryCancel(); }
  void give_up_writing() override { cancel(); }
  std::optional<StreamMetadata> answer() override { return StreamMetadata(); }
  Error status() const override { return {ErrorCode::kUnavailable, ""}; }

  const EventQueue::Use use;
  const size_t message_bytes;
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter call{&context};
  grpc::Status end;
};

IncomingCall::IncomingCall(std::shared_ptr<Call> call) : call_(std::move(call)) {}

IncomingCall::~IncomingCall() = default;

std::string IncomingCall::method() const { return call_->context.method(); }

std::string IncomingCall::metadata(const std::string& key) const {
  const auto& all = call_->context.client_metadata();
  const auto found = all.find(key);
  return found == all.end() ? "" : std::string(found->second.data(), found->second.size());
}

void IncomingCall::accept(MessageStream& stream, const StreamMetadata& answer,
                          std::shared_ptr<StreamListener> listener, bool starts_paused) {
  const auto call = std::move(call_);
  call->context.AddInitialMetadata(kWelcomeKey, "1");
  for (const auto& [key, value] : answer) call->context.AddInitialMetadata(key, value);
  stream.start(call, std::move(listener), call->use.queue(), call->message_bytes, starts_paused);
}

void IncomingCall::refuse(const Error& why) {
  struct Refused final : RpcEvent {
    void done(bool /*ok*/) override { delete this; }
    std::shared_ptr<Call> call;
  };
  auto* const refused = new Refused;
  refused->call = std::move(call_);
  refused->call->end = refusal_status(why);
  refused->call->finish(*refused);
}

// Waits for the next call on a queue.
struct StreamServer::Request final : RpcEvent {
  Request(StreamServer& where, size_t number)
      : server(where),
        queue(number),
        call(std::make_shared<IncomingCall::Call>(*where.queues_[number],
                                                  where.options_.settings.message_bytes)) {}
  void done(bool ok) override {
    const std::unique_ptr<Request> self(this);
    if (!ok) return;  // the server shuts down
    server.request(queue);
    server.on_arrived(std::move(call));
  }

  StreamServer& server;
  const size_t queue;
  std::shared_ptr<IncomingCall::Call> call;
};

StreamServer::StreamServer(Options options, OnCall on_call)
    : options_(std::move(options)),
      on_call_(std::move(on_call)),
      acceptor_(options_.port),
      service_(std::make_unique<grpc::AsyncGenericService>()) {
  set_up_grpc();
  grpc::ServerBuilder builder;
  for_each_channel_argument(options_.settings, [&](const char* name, int value) {
    builder.AddChannelArgument(name, value);
  });
  builder.RegisterAsyncGenericService(service_.get());
  for (int i = 0; i < options_.queues; ++i) {
    auto queue = builder.AddCompletionQueue();
    grpc_queues_.push_back(queue.get());
    queues_.push_back(std::make_unique<EventQueue>(std::move(queue)));
  }
  server_ = builder.BuildAndStart();
  TRIREME_CHECK(server_ != nullptr, "gRPC made no server");
}

StreamServer::~StreamServer() = default;

void StreamServer::start() {
  for (size_t i = 0; i < queues_.size(); ++i) request(i);
  acceptor_.start([this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
}

void StreamServer::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  acceptor_.stop();
  server_->Shutdown(std::chrono::system_clock::now());
}

void StreamServer::request(size_t queue) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  auto* const next = new Request(*this, queue);
  IncomingCall::Call& call = *next->call;
  service_->RequestCall(&call.context, &call.call, &queues_[queue]->grpc(), grpc_queues_[queue],
                        tag_of(*next));
}

void StreamServer::on_arrived(std::shared_ptr<IncomingCall::Call> call) {
  const std::string connection = call->context.peer();
  std::unique_ptr<IncomingCall> incoming(new IncomingCall(std::move(call)));
  incoming->peer_ = acceptor_.peer_of(connection);
  if (options_.port.keeps_connections) incoming->connection_ = acceptor_.find(connection);
  if (incoming->method() != options_.method) {
    const Error why = not_found(options_.what, " serves only ", options_.method);
    log_error(str_cat("refused a connection of ", incoming->peer(), ": ", why.what()));
    return incoming->refuse(why);
  }
  on_call_(std::move(incoming));
}

}  // namespace trireme
