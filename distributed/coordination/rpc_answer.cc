#include "distributed/coordination/rpc_answer.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>

#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/switchboard.h"

namespace trireme {
namespace {

std::optional<std::string> metadata(const grpc::ServerContext& context, const char* key) {
  const auto& all = context.client_metadata();
  const auto found = all.find(key);
  if (found == all.end()) return std::nullopt;
  return std::string(found->second.data(), found->second.size());
}

}  // namespace

grpc::Status answer_rpc(grpc::ServerContext* context, Switchboard& switchboard,
                        const std::function<void()>& call) {
  const auto secret = metadata(*context, kSecretMetadata), job = metadata(*context, kJobMetadata);
  if (const auto why = switchboard.refusal(secret ? &*secret : nullptr, job ? &*job : nullptr,
                                           context->peer())) {
    return {grpc::StatusCode::UNAUTHENTICATED, *why};
  }
  try {
    call();
    return grpc::Status::OK;
  } catch (const Error& error) {
    return to_status(error);
  } catch (const std::exception& error) {
    return to_status({ErrorCode::kInternal, error.what()});
  }
}

}  // namespace trireme
