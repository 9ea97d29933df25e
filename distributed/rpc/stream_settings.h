// What both ends of a MessageStream's connection ask of gRPC.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>

namespace trireme {

struct StreamSettings {
  size_t message_bytes = size_t{1} << 20;  // what is sent as one message, at most
  size_t most_received = message_bytes;    // a longer message breaks the stream
  int window_bytes = 4 << 20;              // may be under way in a stream before it is read
  // What was sent and is not acknowledged for so long breaks the connection, and idle ones are
  // asked for a sign of life; 0: never. A host that is cut off closes no connection.
  std::chrono::milliseconds unacknowledged{0};
};

// The arguments of gRPC's channels that follow, for dialling and accepting.
void for_each_channel_argument(const StreamSettings& settings,
                               const std::function<void(const char* name, int value)>& set);

}  // namespace trireme
