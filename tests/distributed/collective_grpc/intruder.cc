#include "tests/distributed/collective_grpc/intruder.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>

#include "distributed/collective/grpc_wire.h"
#include "distributed/connection/dial.h"

namespace trireme::testing {
namespace {

constexpr std::chrono::seconds kPatience{10};

}  // namespace

class Intruder::Impl {
 public:
  Impl(const std::string& address, const std::string& secret, const Metadata& metadata)
      : stub_(grpc::CreateInsecureChannelFromFd(
            address, dial({.address = address,
                           .security = {.secret = secret},
                           .deadline = std::chrono::steady_clock::now() + kPatience}))) {
    for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    call_ = stub_.PrepareCall(&context_, kMethod, &queue_);
    call_->StartCall(this);
    next();
  }
  ~Impl() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  bool is_welcome() {
    call_->ReadInitialMetadata(this);
    if (!next()) return false;
    const auto& metadata = context_.GetServerInitialMetadata();
    return metadata.find("x-trireme-welcome") != metadata.end();
  }
  void send(const std::string& message) {
    const grpc::Slice slice(message);
    call_->Write(grpc::ByteBuffer(&slice, 1), this);
    next();
  }
  std::string finish() {
    grpc::Status status;
    call_->Finish(&status, this);
    next();
    const char* code = status.error_code() == grpc::StatusCode::UNAUTHENTICATED ? "UNAUTHENTICATED"
                       : status.error_code() == grpc::StatusCode::FAILED_PRECONDITION
                           ? "FAILED_PRECONDITION"
                           : "another code";
    return code + (": " + status.error_message());
  }

 private:
  bool next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

Intruder::Intruder(const std::string& address, const std::string& secret, const Metadata& metadata)
    : impl_(std::make_unique<Impl>(address, secret, metadata)) {}
Intruder::~Intruder() = default;
bool Intruder::is_welcome() { return impl_->is_welcome(); }
void Intruder::send(const std::string& message) { impl_->send(message); }
std::string Intruder::finish() { return impl_->finish(); }

}  // namespace trireme::testing
