// Frames over a MessageStream, and what both ends of it agree on.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "distributed/rpc/message_stream.h"
#include "ps/protocol/frame.h"

namespace trireme::ps {

class FrameStream final : public FrameSink {
 public:
  explicit FrameStream(std::shared_ptr<MessageStream> stream) : stream_(std::move(stream)) {}
  void send(FrameHeader header, OutMessage message) override {
    header.bytes = message.bytes();
    stream_->send(std::as_bytes(std::span(&header, 1)), message.pieces);
  }

 private:
  const std::shared_ptr<MessageStream> stream_;
};

// The call and its metadata.
inline constexpr char kMethod[] = "/trireme.ps.ParameterServer/Exchange";
inline constexpr char kVersionKey[] = "x-trireme-version";
inline constexpr char kSessionKey[] = "x-trireme-session";  // equal for the streams of a connection
inline constexpr char kHostKey[] = "x-trireme-shared-memory-host";  // where a server offers it
inline constexpr char kFrameVersion[] = "1";

// What was sent and is not acknowledged for so long breaks a connection.
inline constexpr std::chrono::milliseconds kUnacknowledged{20'000};

inline constexpr StreamSettings kFrameStreamSettings{.message_bytes = size_t{1} << 20,
                                                     .most_received = size_t{2} << 20,
                                                     .window_bytes = 8 << 20,
                                                     .unacknowledged = kUnacknowledged};

}  // namespace trireme::ps
