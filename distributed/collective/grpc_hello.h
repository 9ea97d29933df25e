// What a member that dials says of itself, as metadata of its call; and how both ends set up the
// connection.
#pragma once

#include <cstdint>
#include <string>

#include "distributed/collective/grpc_wire.h"
#include "distributed/rpc/message_stream.h"

namespace trireme {

class IncomingCall;

struct GrpcHello {
  int version = SegmentHeader::kVersion;
  std::string job_id;
  int64_t generation = 0;
  uint32_t member = 0;  // who dials
  int channel = 0;
};
StreamMetadata metadata_of(const GrpcHello& hello);
// A number that is none becomes -1.
GrpcHello hello_of(const IncomingCall& call);

// Bounds and window size of each connection.
StreamSettings segment_settings();

}  // namespace trireme
