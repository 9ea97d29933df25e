// What crosses a stream of the grpc backend: frames of segments, and the call that carries them.
//
// A frame is one gRPC message: segments, each a header and its bytes, back to back. A message of a
// Transport is one segment or, above kMaxSegmentBytes, several. Nothing of a header is believed
// before problem_with() has passed it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace trireme {

static_assert(std::endian::native == std::endian::little, "headers are sent as they lie in memory");

enum class SegmentKind : uint16_t {
  kData = 0,
  kGoodbye = 1,  // nothing more will come: an orderly end. Answered by kReceived.
  kFault = 2,    // the sender's communicator is dead; the bytes say why. Answered by kReceived.
  kReceived = 3,
  // Asks for whom the receiver waits; or says that member `sequence` waits for member `offset`.
  kWaiting = 4,
};

struct SegmentHeader {
  uint32_t magic = kMagic;
  uint16_t version = kVersion;
  SegmentKind kind = SegmentKind::kData;
  uint32_t from = 0;   // index of the sender in its group
  uint32_t extra = 0;  // kFault: the ErrorCode; kWaiting: 1 when it asks
  int64_t generation = 0;
  uint64_t sequence = 0;  // of the message, from 1, for each ordered pair of ranks
  uint64_t total = 0;     // bytes of the message
  uint64_t offset = 0;    // of this segment in it
  uint64_t bytes = 0;     // of this segment

  static constexpr uint32_t kMagic = 0x456d5254;  // "TRmE"
  static constexpr uint16_t kVersion = 2;
};
static_assert(sizeof(SegmentHeader) == 56);

inline constexpr size_t kMaxSegmentBytes = 1 << 20;
// Messages that wait for the stream are sent together up to here.
inline constexpr size_t kMaxFrameBytes = kMaxSegmentBytes + (16 << 10);
inline constexpr uint64_t kMaxMessageBytes = uint64_t{1} << 40;
inline constexpr uint64_t kNobody = ~uint64_t{0};  // kWaiting: it is in no call
inline constexpr size_t kMaxFaultText = 2048;

// Connections between two ranks; the segments of a pair go round.
inline constexpr int kChannels = 1;
// Of a call that only asks its receiver to dial the caller.
inline constexpr int kInvitationChannel = 1000;

// Why the header cannot be one of `from` in `generation`, of which `left` bytes of the frame
// follow; empty when it can.
std::string problem_with(const SegmentHeader& header, uint32_t from, int64_t generation,
                         size_t left);

// The call and its metadata.
inline constexpr char kMethod[] = "/trireme.Collective/Exchange";
inline constexpr char kJobKey[] = "x-trireme-job";
inline constexpr char kGenerationKey[] = "x-trireme-generation";
inline constexpr char kRankKey[] = "x-trireme-rank";
inline constexpr char kChannelKey[] = "x-trireme-channel";
inline constexpr char kVersionKey[] = "x-trireme-version";

}  // namespace trireme
