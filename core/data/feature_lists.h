// The lists of tf.train.Feature in protobuf's wire format, read without a tree of messages.
//
// All throw Error{kDataLoss} without a place when the bytes are no such list, or hold another kind.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/data/feature.h"

namespace trireme::data {

// The fields of a message, one after another.
class WireReader {
 public:
  explicit WireReader(std::string_view message)
      : at_(message.data()), end_(message.data() + message.size()) {}

  // The next field; false at the end.
  bool next();
  uint32_t number() const { return number_; }
  bool is_bytes() const { return type_ == 2; }
  bool is_varint() const { return type_ == 0; }
  bool is_fixed32() const { return type_ == 5; }
  std::string_view bytes() const { return bytes_; }  // of is_bytes() and is_fixed32()
  uint64_t varint() const { return varint_; }        // of is_varint()

 private:
  uint64_t read_varint();

  const char* at_;
  const char* end_;
  uint32_t number_ = 0, type_ = 0;
  std::string_view bytes_;
  uint64_t varint_ = 0;
};

// Which list a message tf.train.Feature holds.
FeatureValue feature_value(std::string_view feature);

// The values of a list; kNone has none.
int64_t count_values(const FeatureValue& value);

// Writes the values from out[0] on; returns how many there are, also where that is more than
// out.size(), of which no more are written.
int64_t read_floats(const FeatureValue& value, std::span<float> out);
int64_t read_integers(const FeatureValue& value, std::span<int64_t> out);
int64_t read_integers(const FeatureValue& value, std::span<int32_t> out);
int64_t read_strings(const FeatureValue& value, std::span<std::string> out);
// The only string of a list.
std::string_view read_only_string(const FeatureValue& value);

// "a list of floats"
std::string_view name(ListKind kind);

}  // namespace trireme::data
