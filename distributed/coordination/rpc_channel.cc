#include "distributed/coordination/rpc_channel.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

constexpr size_t kCredentialLimit = 1024;

}  // namespace

void check_credential(const char* what, const std::string& text) {
  const bool good =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (good && text.size() <= kCredentialLimit) return;
  throw invalid_argument("the job's ", what, " must have at most ", kCredentialLimit,
                         " printable ASCII characters, without spaces");
}

std::shared_ptr<grpc::Channel> make_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A connection of its own, which ends with the client.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // The coordinator may come later than its tasks.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 500);
  arguments.SetMaxReceiveMessageSize(kMessageBytesLimit);
  arguments.SetMaxSendMessageSize(kMessageBytesLimit);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void add_credentials(grpc::ClientContext& context, const std::string& secret,
                     const std::string& job_id) {
  context.AddMetadata(kSecretMetadata, secret);
  context.AddMetadata(kJobMetadata, job_id);
}

Error no_coordinator(const std::string& address, std::chrono::milliseconds waited) {
  return {ErrorCode::kUnavailable,
          str_cat("no coordinator has answered at ", address, " for ", seconds_text(waited),
                  ": is the task that hosts it running, and is the address right?")};
}

}  // namespace trireme
