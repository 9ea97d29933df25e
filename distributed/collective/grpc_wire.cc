#include "distributed/collective/grpc_wire.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme {

std::string problem_with(const SegmentHeader& header, uint32_t from, int64_t generation,
                         size_t left) {
  if (header.magic != SegmentHeader::kMagic) {
    return str_cat("expected a segment, found bytes that begin with 0x", std::hex, header.magic);
  }
  if (header.version != SegmentHeader::kVersion) {
    return str_cat("expected version ", SegmentHeader::kVersion, " of the wire format, found ",
                   header.version);
  }
  if (header.kind > SegmentKind::kWaiting) {
    return str_cat("found a segment of unknown kind ", static_cast<int>(header.kind));
  }
  if (header.from != from) {
    return str_cat("expected segments of member ", from, ", found one of member ", header.from);
  }
  if (header.generation != generation) {
    return str_cat("expected generation ", generation, ", found ", header.generation);
  }
  const size_t most = header.kind == SegmentKind::kData    ? kMaxSegmentBytes
                      : header.kind == SegmentKind::kFault ? kMaxFaultText
                                                           : 0;
  if (header.bytes > most || header.bytes > left) {
    return str_cat("found a segment of ", header.bytes, " bytes where at most ",
                   std::min(most, left), " are possible");
  }
  if (header.kind == SegmentKind::kData &&
      (header.total > kMaxMessageBytes || header.offset > header.total ||
       header.bytes > header.total - header.offset)) {
    return str_cat("found ", header.bytes, " bytes at offset ", header.offset, " of a message of ",
                   header.total);
  }
  return "";
}

}  // namespace trireme
