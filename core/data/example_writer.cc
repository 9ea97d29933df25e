#include "core/data/example_writer.h"

#include <utility>

#include "core/base/error.h"
#include "core/io/varint.h"

namespace trireme::data {
namespace {

// A field of bytes: its number, their length, and they.
void append_field(std::string& out, uint32_t number, std::string_view bytes) {
  io::append_varint(out, uint64_t{number} << 3 | 2);
  io::append_varint(out, bytes.size());
  out += bytes;
}

template <typename T>
std::string integer_list(const Tensor& values) {
  std::string packed, list;
  for (const T value : values.flat<T>()) {
    io::append_varint(packed, static_cast<uint64_t>(static_cast<int64_t>(value)));
  }
  append_field(list, 1, packed);
  return list;
}

// A message tf.train.Feature.
std::string feature(std::string_view name, const Tensor& values) {
  std::string list, message;
  switch (values.dtype()) {
    case DType::kFloat32:
      append_field(list, 1, {static_cast<const char*>(values.raw()), values.bytes()});
      append_field(message, 2, list);
      return message;
    case DType::kInt64:
      append_field(message, 3, integer_list<int64_t>(values));
      return message;
    case DType::kInt32:
      append_field(message, 3, integer_list<int32_t>(values));
      return message;
    case DType::kUInt8:
      append_field(message, 3, integer_list<uint8_t>(values));
      return message;
    case DType::kString:
      for (const std::string& value : values.flat<std::string>()) append_field(list, 1, value);
      append_field(message, 1, list);
      return message;
    default:
      throw invalid_argument("feature \"", name, "\": expected f32, i64, i32, u8 or string, found ",
                             values.type());
  }
}

void append_entry(std::string& map, std::string_view name, std::string_view value) {
  std::string entry;
  append_field(entry, 1, name);
  append_field(entry, 2, value);
  append_field(map, 1, entry);
}

}  // namespace

void ExampleWriter::add(std::string_view name, const Tensor& values) {
  append_entry(features_, name, feature(name, values));
}

void ExampleWriter::add_bytes(std::string_view name, std::string_view bytes) {
  std::string list, message;
  append_field(list, 1, bytes);
  append_field(message, 1, list);
  append_entry(features_, name, message);
}

void ExampleWriter::add_steps(std::string_view name, const Tensor& values) {
  if (values.shape().rank() == 0) {
    throw invalid_argument("feature \"", name, "\": expected steps along a first axis, found ",
                           values.type());
  }
  std::string list;
  for (int64_t step = 0; step < values.shape()[0]; ++step) {
    append_field(list, 1, feature(name, values.rows(step, step + 1)));
  }
  append_entry(feature_lists_, name, list);
}

std::string ExampleWriter::finish() {
  std::string message;
  append_field(message, 1, std::exchange(features_, {}));
  if (!feature_lists_.empty()) append_field(message, 2, std::exchange(feature_lists_, {}));
  return message;
}

}  // namespace trireme::data
