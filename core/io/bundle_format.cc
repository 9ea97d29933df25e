#include "core/io/bundle_format.h"

#include <array>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "proto/tf/types.pb.h"

namespace trireme::io {
namespace {

constexpr std::array<std::pair<DType, tf::DataType>, 9> kTypes = {{
    {DType::kFloat16, tf::DT_HALF},
    {DType::kBFloat16, tf::DT_BFLOAT16},
    {DType::kFloat32, tf::DT_FLOAT},
    {DType::kFloat64, tf::DT_DOUBLE},
    {DType::kInt32, tf::DT_INT32},
    {DType::kInt64, tf::DT_INT64},
    {DType::kUInt8, tf::DT_UINT8},
    {DType::kBool, tf::DT_BOOL},
    {DType::kString, tf::DT_STRING},
}};

// "Ordered code" keeps the order of what it encodes under a comparison of bytes.

// A count of bytes, then the number's bytes, the highest first.
void append_ordered(std::string& out, uint64_t value) {
  std::string bytes;
  for (; value > 0; value >>= 8) bytes.insert(bytes.begin(), static_cast<char>(value & 0xff));
  out += static_cast<char>(bytes.size());
  out += bytes;
}

// The bytes with 0 and 255 escaped, then a separator.
void append_ordered(std::string& out, std::string_view text) {
  for (char c : text) {
    out += c;
    if (c == '\0') out += '\xff';
    if (c == '\xff') out += '\0';
  }
  out += '\0';
  out += '\1';
}

// Two's complement in the fewest bytes n that leave room for a head of n bits: n - 1 copies of the
// sign and its opposite, as UTF-8 does; here the sign bit itself is inverted, so that negative
// numbers come first.
void append_ordered_signed(std::string& out, int64_t value) {
  const auto magnitude = static_cast<uint64_t>(value < 0 ? ~value : value);
  int length = 1;
  while (length < 10 && 7 * length - 1 < 64 && (magnitude >> (7 * length - 1)) != 0) ++length;
  std::array<unsigned char, 10> bytes;
  for (int i = 0; i < length; ++i) {
    const int shift = 8 * (length - 1 - i);
    bytes[i] = static_cast<unsigned char>(shift < 64 ? value >> shift : (value < 0 ? -1 : 0));
  }
  // For a non-negative number the first `length` bits become ones (they are zeros); a negative
  // one's become zeros.
  for (int bit = 0; bit < length; ++bit) {
    bytes[bit / 8] ^= static_cast<unsigned char>(0x80 >> (bit % 8));
  }
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
}

}  // namespace

int tf_dtype(DType dtype) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == dtype) return theirs;
  }
  throw Error(ErrorCode::kInternal, str_cat("no TensorFlow type for ", name(dtype)));
}

std::optional<DType> dtype_from_tf(int number) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == number) return ours;
  }
  return std::nullopt;
}

std::string slice_key(std::string_view name, const Slice& slice) {
  std::string key;
  append_ordered(key, uint64_t{0});
  append_ordered(key, name);
  append_ordered(key, uint64_t{slice.size()});
  for (const Extent& extent : slice) {
    append_ordered_signed(key, extent.start);
    append_ordered_signed(key, extent.length);
  }
  return key;
}

void copy_slice(const Tensor& part, const Slice& slice, Tensor& whole) {
  const int rank = whole.shape().rank();
  if (part.elements() == 0) return;
  // Rows of the last axis are contiguous in both; `at` counts over the other axes of the part.
  const int64_t row = rank == 0 ? 1 : part.shape()[rank - 1];
  std::array<int64_t, Shape::kMaxRank> at{};
  for (int64_t done = 0; done < part.elements(); done += row) {
    int64_t target = 0;
    for (int axis = 0; axis < rank; ++axis) {
      target = target * whole.shape()[axis] + slice[static_cast<size_t>(axis)].start + at[axis];
    }
    if (whole.dtype() == DType::kString) {
      const auto from = part.flat<std::string>().subspan(static_cast<size_t>(done));
      const auto to = whole.flat<std::string>().subspan(static_cast<size_t>(target));
      for (size_t i = 0; i < static_cast<size_t>(row); ++i) to[i] = from[i];
    } else {
      const size_t size = size_of(whole.dtype());
      std::memcpy(static_cast<char*>(whole.raw()) + static_cast<size_t>(target) * size,
                  static_cast<const char*>(part.raw()) + static_cast<size_t>(done) * size,
                  static_cast<size_t>(row) * size);
    }
    for (int axis = rank - 2; axis >= 0 && ++at[axis] == part.shape()[axis]; --axis) at[axis] = 0;
  }
}

}  // namespace trireme::io
