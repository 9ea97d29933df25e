// Protobuf's wire format, read field by field without a tree of messages.
//
// Never reads outside of the bytes that it was given. Inline, because event files have millions of
// small messages.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace trireme::io {

class WireFields {
 public:
  enum Type : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit WireFields(std::string_view message)
      : at_(message.data()), end_(message.data() + message.size()) {}

  // The next field; false at the end, and where the bytes are no message: see is_damaged().
  bool next() {
    if (at_ == end_) return false;
    uint64_t key = 0;
    if (!take_varint(key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) return damaged();
    number_ = static_cast<uint32_t>(key >> 3);
    type_ = static_cast<uint32_t>(key & 7);
    switch (type_) {
      case kVarint:
        return take_varint(varint_) || damaged();
      case kFixed64:
        return take_bytes(8) || damaged();
      case kFixed32:
        return take_bytes(4) || damaged();
      case kBytes: {
        uint64_t size = 0;
        return (take_varint(size) && take_bytes(size)) || damaged();
      }
      default:
        return damaged();
    }
  }
  bool is_damaged() const { return damaged_; }

  // Of the field.
  uint32_t number() const { return number_; }
  bool is(uint32_t number, Type type) const { return number_ == number && type_ == type; }
  uint64_t varint() const { return varint_; }
  int64_t integer() const { return static_cast<int64_t>(varint_); }
  std::string_view bytes() const { return bytes_; }
  double fixed_double() const { return read<double>(); }
  float fixed_float() const { return read<float>(); }

 private:
  bool damaged() {
    damaged_ = true;
    at_ = end_;
    return false;
  }
  bool take_varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && at_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      if (shift == 63 && byte > 1) return false;
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take_bytes(uint64_t size) {
    if (size > static_cast<uint64_t>(end_ - at_)) return false;
    bytes_ = {at_, static_cast<size_t>(size)};
    at_ += size;
    return true;
  }
  template <typename T>
  T read() const {
    T value;
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

  const char* at_;
  const char* end_;
  uint32_t number_ = 0, type_ = 0;
  uint64_t varint_ = 0;
  std::string_view bytes_;
  bool damaged_ = false;
};

}  // namespace trireme::io
