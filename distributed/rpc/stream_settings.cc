#include "distributed/rpc/stream_settings.h"

#include <grpc/impl/codegen/grpc_types.h>

#include <algorithm>

namespace trireme {

void for_each_channel_argument(const StreamSettings& settings,
                               const std::function<void(const char* name, int value)>& set) {
  const auto most = static_cast<int>(std::max(settings.most_received, settings.message_bytes));
  set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, most);
  set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, most);
  set(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, settings.window_bytes);
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, 8);
  set(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  const auto patience = static_cast<int>(settings.unacknowledged.count());
  if (patience == 0) return;
  set(GRPC_ARG_KEEPALIVE_TIME_MS, patience);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, patience);
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000);
  set(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

}  // namespace trireme
