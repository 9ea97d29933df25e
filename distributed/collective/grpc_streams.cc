#include "distributed/collective/grpc_streams.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <charconv>
#include <climits>
#include <utility>

#include "core/base/hand_over.h"

namespace trireme {
namespace {

// How much of one stream may be under way before it is read.
constexpr int kWindowBytes = 4 << 20;

template <typename Set>
void for_each_argument(Set set) {
  set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(kMaxFrameBytes));
  set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, static_cast<int>(kMaxFrameBytes));
  set(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, 8);
  set(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
}

class Dialled final : public GrpcDialledStream {
 public:
  Dialled(int socket, const GrpcHello& hello, const std::string& target)
      : GrpcDialledStream(std::make_shared<Connection>(socket)) {
    grpc::ChannelArguments arguments;
    for_each_argument([&](const char* name, int value) { arguments.SetInt(name, value); });
    channel_ = grpc::CreateCustomInsecureChannelFromFd(target, socket, arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
    context_.AddMetadata(kJobKey, hello.job_id);
    context_.AddMetadata(kGenerationKey, str_cat(hello.generation));
    context_.AddMetadata(kRankKey, str_cat(hello.member));
    context_.AddMetadata(kChannelKey, str_cat(hello.channel));
    context_.AddMetadata(kVersionKey, str_cat(hello.version));
  }

  void start(grpc::CompletionQueue* queue) {
    call_ = stub_->PrepareCall(&context_, kMethod, queue);
    on_next([this](bool ok) {
      if (!ok) return end();
      on_next([this](bool read) {
        const auto& metadata = context_.GetServerInitialMetadata();
        if (!read || metadata.find(kWelcomeKey) == metadata.end()) return end();
        state_.store(State::kWelcome, std::memory_order_release);
      });
      auto& call = *call_;  // read before another thread may have it
      hand_over(&step_);
      call.ReadInitialMetadata(&step_);
    });
    auto& call = *call_;  // read before another thread may have it
    hand_over(&step_);
    call.StartCall(&step_);
  }

  State state() const override { return state_.load(std::memory_order_acquire); }

  Error refusal() const override {
    const std::string why = printable(status_.error_message(), 300);
    switch (status_.error_code()) {
      case grpc::StatusCode::UNAUTHENTICATED:
        return invalid_argument(why);
      case grpc::StatusCode::FAILED_PRECONDITION:
        return {ErrorCode::kFailed, why};
      default:
        return {ErrorCode::kUnavailable, why.empty() ? "the connection was closed" : why};
    }
  }

 protected:
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
  void start_cancel() override { context_.TryCancel(); }
  void start_end(std::function<void(const std::string&)> then) override {
    on_next([this, then = std::move(then)](bool) { then(status_.error_message()); });
    auto& call = *call_;  // read before another thread may have it
    hand_over(&step_);
    call.Finish(&status_, &step_);
  }

 private:
  struct Step final : GrpcEvent {
    void done(bool ok) override {
      const auto alive = std::move(keep);
      std::exchange(then, nullptr)(ok);
    }
    std::shared_ptr<GrpcStream> keep;
    std::function<void(bool)> then;
  };
  void on_next(std::function<void(bool)> then) {
    step_.keep = shared_from_this();
    step_.then = std::move(then);
  }
  void end() {
    on_next([this](bool) { state_.store(State::kRefused, std::memory_order_release); });
    auto& call = *call_;  // read before another thread may have it
    hand_over(&step_);
    call.Finish(&status_, &step_);
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  Step step_;
  grpc::Status status_;
  std::atomic<State> state_{State::kWaiting};
};

// The call before anybody knows whose it is.
struct PendingCall final : GrpcEvent {
  PendingCall(const Acceptor& where, OnGrpcCall then) : acceptor(where), on_call(std::move(then)) {}
  void done(bool ok) override;

  const Acceptor& acceptor;
  OnGrpcCall on_call;
  std::unique_ptr<grpc::GenericServerContext> context =
      std::make_unique<grpc::GenericServerContext>();
  std::unique_ptr<grpc::GenericServerAsyncReaderWriter> call =
      std::make_unique<grpc::GenericServerAsyncReaderWriter>(context.get());
};

class Accepted final : public GrpcAcceptedStream {
 public:
  Accepted(std::shared_ptr<Connection> connection, PendingCall& call)
      : GrpcAcceptedStream(std::move(connection)),
        context_(std::move(call.context)),
        call_(std::move(call.call)) {
    hello_.version = number<int>(kVersionKey);
    hello_.job_id = text(kJobKey);
    hello_.generation = number<int64_t>(kGenerationKey);
    hello_.member = number<uint32_t>(kRankKey);
    hello_.channel = number<int>(kChannelKey);
  }

  const GrpcHello& hello() const override { return hello_; }
  void welcome() override {
    context_->AddInitialMetadata(kWelcomeKey, "1");
    step_.keep = shared_from_this();
    auto& call = *call_;  // read before another thread may have it
    hand_over(&step_);
    call.SendInitialMetadata(&step_);
  }
  void refuse(const Error& why) override {
    const auto code = [&] {
      switch (why.code()) {
        case ErrorCode::kInvalidArgument:
          return grpc::StatusCode::UNAUTHENTICATED;
        case ErrorCode::kResourceExhausted:
          return grpc::StatusCode::RESOURCE_EXHAUSTED;
        case ErrorCode::kNotFound:
          return grpc::StatusCode::UNIMPLEMENTED;
        default:
          return grpc::StatusCode::FAILED_PRECONDITION;
      }
    }();
    step_.keep = shared_from_this();
    auto& call = *call_;  // read before another thread may have it
    hand_over(&step_);
    call.Finish({code, why.what()}, &step_);
  }

 protected:
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
  void start_end(std::function<void(const std::string&)> then) override { then(""); }

 private:
  struct Step final : GrpcEvent {
    void done(bool /*ok*/) override { const auto alive = std::move(keep); }
    std::shared_ptr<GrpcStream> keep;
  };
  std::string text(const char* key) const {
    const auto& metadata = context_->client_metadata();
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  }
  template <typename Number>
  Number number(const char* key) const {
    const std::string digits = text(key);
    Number value{};
    const auto end = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), end, value);
    return result.ec == std::errc() && result.ptr == end ? value : static_cast<Number>(-1);
  }

  const std::unique_ptr<grpc::GenericServerContext> context_;
  const std::unique_ptr<grpc::GenericServerAsyncReaderWriter> call_;
  GrpcHello hello_;
  Step step_;
};

void PendingCall::done(bool ok) {
  const std::unique_ptr<PendingCall> self(this);
  if (!ok) return;  // the server shuts down
  std::shared_ptr<GrpcAcceptedStream> stream;
  if (auto connection = acceptor.find(context->peer())) {
    const std::string method = context->method();
    stream = std::make_shared<Accepted>(std::move(connection), *this);
    if (method != kMethod) {
      stream->refuse(not_found("this port serves only ", kMethod));
      stream = nullptr;
    }
  }
  on_call(std::move(stream));
}

}  // namespace

void configure(grpc::ServerBuilder& builder) {
  for_each_argument([&](const char* name, int value) { builder.AddChannelArgument(name, value); });
}

std::shared_ptr<GrpcDialledStream> GrpcDialledStream::dial(int socket, const GrpcHello& hello,
                                                           const std::string& target,
                                                           grpc::CompletionQueue* queue) {
  auto stream = std::make_shared<Dialled>(socket, hello, target);
  stream->start(queue);
  return stream;
}

void request_call(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue,
                  const Acceptor& acceptor, OnGrpcCall on_call) {
  auto* pending = new PendingCall(acceptor, std::move(on_call));
  hand_over(static_cast<GrpcEvent*>(pending));
  service.RequestCall(pending->context.get(), pending->call.get(), &queue, &queue,
                      static_cast<GrpcEvent*>(pending));
}

}  // namespace trireme
