// Protocol buffers from outside, parsed within bounds.
//
// A message without content takes two bytes in a file and a hundred in memory, so the size of a
// file bounds nothing: messages are counted before any is made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace trireme::io {

struct ProtoBounds {
  uint64_t bytes = uint64_t{1} << 31;  // protobuf's own limit
  // The graph of a network of 100 000 nodes has about two million.
  uint64_t messages = 4'000'000;
};

// Parses `bytes`, found at `place`, into `message`. Throws Error{kDataLoss} "PLACE: expected …" for
// bytes that are no such message or more of them than `bounds` allows.
void parse_proto(std::string_view bytes, const std::string& place,
                 google::protobuf::Message& message, const ProtoBounds& bounds = {});
// The same for a whole file.
void read_proto(const std::string& path, google::protobuf::Message& message,
                const ProtoBounds& bounds = {});

}  // namespace trireme::io
