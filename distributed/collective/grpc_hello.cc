#include "distributed/collective/grpc_hello.h"

#include <charconv>

#include "core/base/error.h"
#include "distributed/rpc/stream_server.h"

namespace trireme {
namespace {

template <typename Number>
Number number_of(const std::string& digits) {
  Number value{};
  const char* const end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  return result.ec == std::errc() && result.ptr == end ? value : static_cast<Number>(-1);
}

}  // namespace

StreamMetadata metadata_of(const GrpcHello& hello) {
  return {{kJobKey, hello.job_id},
          {kGenerationKey, str_cat(hello.generation)},
          {kRankKey, str_cat(hello.member)},
          {kChannelKey, str_cat(hello.channel)},
          {kVersionKey, str_cat(hello.version)}};
}

GrpcHello hello_of(const IncomingCall& call) {
  return {.version = number_of<int>(call.metadata(kVersionKey)),
          .job_id = call.metadata(kJobKey),
          .generation = number_of<int64_t>(call.metadata(kGenerationKey)),
          .member = number_of<uint32_t>(call.metadata(kRankKey)),
          .channel = number_of<int>(call.metadata(kChannelKey))};
}

StreamSettings segment_settings() {
  return {.message_bytes = kMaxFrameBytes, .window_bytes = 4 << 20};
}

}  // namespace trireme
