#include "core/io/bounded_proto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/wire_format_lite.h>

#include "core/io/input_file.h"

namespace trireme::io {
namespace {

namespace pb = google::protobuf;
using pb::internal::WireFormatLite;

// As protobuf has it by default.
constexpr int kMostDepth = 100;

// Walks over the wire format and counts messages.
class Counter {
 public:
  explicit Counter(uint64_t most) : left_(most) {}

  // False: malformed, nested too deeply, or too many.
  bool count(pb::io::CodedInputStream& in, const pb::Descriptor& type, int depth) {
    if (depth > kMostDepth || left_ == 0) return false;
    --left_;
    while (const uint32_t tag = in.ReadTag()) {
      const pb::FieldDescriptor* const field =
          type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      const bool is_message =
          field != nullptr && field->message_type() != nullptr &&
          WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
      if (!is_message) {
        // A string of no bytes takes memory as well.
        if (left_-- == 0 || !WireFormatLite::SkipField(&in, tag)) return left_ = 0, false;
        continue;
      }
      uint32_t size = 0;
      if (!in.ReadVarint32(&size) || size > INT32_MAX) return false;
      const auto limit = in.PushLimit(static_cast<int>(size));
      if (in.BytesUntilLimit() < static_cast<int>(size)) return false;
      if (!count(in, *field->message_type(), depth + 1)) return false;
      in.PopLimit(limit);
    }
    return in.ConsumedEntireMessage();
  }
  bool is_exhausted() const { return left_ == 0; }

 private:
  uint64_t left_;
};

}  // namespace

void parse_proto(std::string_view bytes, const std::string& place, pb::Message& message,
                 const ProtoBounds& bounds) {
  const std::string& name = message.GetDescriptor()->name();
  if (bytes.size() >= bounds.bytes || bytes.size() > INT32_MAX) {
    throw data_loss(place, ": expected a ", name, " of less than ", bounds.bytes, " bytes, found ",
                    bytes.size());
  }
  pb::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                              static_cast<int>(bytes.size()));
  Counter counter(bounds.messages);
  if (!counter.count(in, *message.GetDescriptor(), 1)) {
    if (counter.is_exhausted()) {
      throw data_loss(place, ": expected a ", name, " of at most ", bounds.messages,
                      " messages and values, found more");
    }
    throw data_loss(place, ": expected a ", name, ", found other bytes from byte ",
                    in.CurrentPosition(), " on");
  }
  // Its own messages would be lines beside the one of the Error.
  const pb::LogSilencer silencer;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw data_loss(place, ": expected a ", name, ", found other bytes");
  }
}

void read_proto(const std::string& path, pb::Message& message, const ProtoBounds& bounds) {
  parse_proto(read_file(path, bounds.bytes), path, message, bounds);
}

}  // namespace trireme::io
