#include "distributed/rpc/stream_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "distributed/rpc/grpc_setup.h"
#include "distributed/rpc/refusal.h"

namespace trireme {
namespace {

std::shared_ptr<grpc::Channel> make_channel(int socket, const StreamRequest& request) {
  set_up_grpc();
  grpc::ChannelArguments arguments;
  for_each_channel_argument(request.settings,
                            [&](const char* name, int value) { arguments.SetInt(name, value); });
  return grpc::CreateCustomInsecureChannelFromFd(request.address, socket, arguments);
}

// The accepting end is an IncomingCall.
class DialledCall final : public StreamCall {
 public:
  DialledCall(int socket, const StreamRequest& request, grpc::CompletionQueue& queue)
      : channel_(make_channel(socket, request)), stub_(channel_) {
    for (const auto& [key, value] : request.metadata) context_.AddMetadata(key, value);
    call_ = stub_.PrepareCall(&context_, request.method, &queue);
  }

  void start(RpcEvent& event) override {
    started_.call = call_.get();
    started_.then = &event;
    call_->StartCall(tag_of(started_));
  }
  void read(grpc::ByteBuffer* to, RpcEvent& event) override { call_->Read(to, tag_of(event)); }
  void write(const grpc::ByteBuffer& message, RpcEvent& event) override {
    call_->Write(message, tag_of(event));
  }
  void finish(RpcEvent& event) override { call_->Finish(&status_, tag_of(event)); }
  void cancel() override { context_.TryCancel(); }

  std::optional<StreamMetadata> answer() override {
    StreamMetadata answer;
    for (const auto& [key, value] : context_.GetServerInitialMetadata()) {
      answer.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
    if (!answer.contains(kWelcomeKey)) return std::nullopt;
    return answer;
  }
  Error status() const override { return error_of(status_); }

 private:
  // The call has left; the answer is what comes next.
  struct Started final : RpcEvent {
    void done(bool ok) override {
      if (!ok) return then->done(false);
      call->ReadInitialMetadata(tag_of(*then));
    }
    grpc::GenericClientAsyncReaderWriter* call = nullptr;
    RpcEvent* then = nullptr;
  };

  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  Started started_;
  grpc::Status status_;
};

}  // namespace

void MessageStream::dial(int socket, const StreamRequest& request, EventQueue& queue,
                         std::shared_ptr<StreamListener> listener) {
  start(std::make_shared<DialledCall>(socket, request, queue.grpc()), std::move(listener), queue,
        request.settings.message_bytes, request.starts_paused);
}

}  // namespace trireme
