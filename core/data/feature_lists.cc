#include "core/data/feature_lists.h"

#include <cstring>

#include "core/base/error.h"

namespace trireme::data {
namespace {

[[noreturn]] void throw_damaged() {
  throw data_loss(
      "expected a tf.train.Example or SequenceExample, found bytes that are no such message");
}

[[noreturn]] void throw_other_kind(const FeatureValue& value, std::string_view expected) {
  throw data_loss("expected ", expected, ", found ", name(value.kind));
}

// The one stretch of packed values that all writers of today make of a list; null: it has another
// form, or is long. A list of strings is no such stretch.
const char* only_run(std::string_view list) {
  const bool is_one = list.size() >= 2 && list[0] == 0x0a && list.size() - 2 < 0x80 &&
                      static_cast<uint8_t>(list[1]) == list.size() - 2;
  return is_one ? list.data() + 2 : nullptr;
}

// Calls `run(bytes)` for each stretch of packed values and each value that stands alone, which has
// the same form.
template <typename Run>
void for_each_run(std::string_view list, uint32_t alone, const Run& run) {
  for (WireReader fields(list); fields.next();) {
    if (fields.number() != 1) continue;
    if (fields.is_bytes() || (alone == 5 && fields.is_fixed32())) {
      run(fields.bytes());
    } else {
      throw_damaged();
    }
  }
}

// One varint at `at`; returns the byte behind it.
inline const uint8_t* take_varint(const uint8_t* at, const uint8_t* end, uint64_t& value) {
  if (at < end && *at < 0x80) {
    value = *at;
    return at + 1;
  }
  uint64_t result = 0;
  for (int shift = 0; shift < 70 && at < end; shift += 7) {
    const uint8_t byte = *at++;
    if (shift == 63 && byte > 1) break;
    result |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) {
      value = result;
      return at;
    }
  }
  throw_damaged();
}

int64_t count_varints(std::string_view bytes) {
  if (bytes.empty()) return 0;
  if (static_cast<uint8_t>(bytes.back()) >= 0x80) throw_damaged();
  int64_t count = 0;
  for (const char byte : bytes) count += static_cast<uint8_t>(byte) < 0x80;
  return count;
}

template <typename Integer>
int64_t read_integers_as(const FeatureValue& value, std::span<Integer> out) {
  if (value.kind == ListKind::kNone) return 0;
  if (value.kind != ListKind::kInt64) throw_other_kind(value, "a list of integers");
  size_t count = 0;
  const auto put = [&](uint64_t bits) {
    if (count < out.size()) {
      const auto integer = static_cast<int64_t>(bits);
      if constexpr (sizeof(Integer) == 4) {
        if (integer < INT32_MIN || integer > INT32_MAX) {
          throw data_loss("expected integers of 32 bits, found ", integer, "; use dtype: INT64");
        }
      }
      out[count] = static_cast<Integer>(integer);
    }
    ++count;
  };
  const auto put_all = [&](const char* bytes, size_t size) {
    const auto* at = reinterpret_cast<const uint8_t*>(bytes);
    const uint8_t* const end = at + size;
    for (uint64_t bits = 0; at < end;) {
      at = take_varint(at, end, bits);
      put(bits);
    }
  };
  if (const char* const run = only_run(value.list)) {
    put_all(run, value.list.size() - 2);
    return static_cast<int64_t>(count);
  }
  for (WireReader fields(value.list); fields.next();) {
    if (fields.number() != 1) continue;
    if (fields.is_varint()) {
      put(fields.varint());
    } else if (fields.is_bytes()) {
      put_all(fields.bytes().data(), fields.bytes().size());
    } else {
      throw_damaged();
    }
  }
  return static_cast<int64_t>(count);
}

// Integers that a float holds exactly.
int64_t read_integers_as_floats(const FeatureValue& value, std::span<float> out) {
  constexpr int64_t kExact = int64_t{1} << 24;
  int64_t count = 0;
  for (WireReader fields(value.list); fields.next();) {
    if (fields.number() != 1) continue;
    const auto put = [&](uint64_t bits) {
      const auto integer = static_cast<int64_t>(bits);
      if (integer < -kExact || integer > kExact) {
        throw data_loss("expected integers that FLOAT32 holds exactly, found ", integer,
                        "; use dtype: INT64");
      }
      if (count < static_cast<int64_t>(out.size())) {
        out[static_cast<size_t>(count)] = static_cast<float>(integer);
      }
      ++count;
    };
    if (fields.is_varint()) {
      put(fields.varint());
    } else if (fields.is_bytes()) {
      const auto* at = reinterpret_cast<const uint8_t*>(fields.bytes().data());
      const uint8_t* const end = at + fields.bytes().size();
      for (uint64_t bits = 0; at < end;) {
        at = take_varint(at, end, bits);
        put(bits);
      }
    } else {
      throw_damaged();
    }
  }
  return count;
}

}  // namespace

uint64_t WireReader::read_varint() {
  uint64_t value = 0;
  at_ = reinterpret_cast<const char*>(take_varint(reinterpret_cast<const uint8_t*>(at_),
                                                  reinterpret_cast<const uint8_t*>(end_), value));
  return value;
}

bool WireReader::next() {
  if (at_ == end_) return false;
  const uint64_t tag = read_varint();
  number_ = static_cast<uint32_t>(tag >> 3);
  type_ = static_cast<uint32_t>(tag & 7);
  if (tag > UINT32_MAX || number_ == 0) throw_damaged();
  size_t size = 0;
  switch (type_) {
    case 0:
      varint_ = read_varint();
      return true;
    case 1:
      size = 8;
      break;
    case 2: {
      const uint64_t length = read_varint();
      if (length > static_cast<uint64_t>(end_ - at_)) throw_damaged();
      size = static_cast<size_t>(length);
      break;
    }
    case 5:
      size = 4;
      break;
    default:
      throw_damaged();
  }
  if (size > static_cast<size_t>(end_ - at_)) throw_damaged();
  bytes_ = {at_, size};
  at_ += size;
  return true;
}

std::string_view name(ListKind kind) {
  switch (kind) {
    case ListKind::kBytes:
      return "a list of strings";
    case ListKind::kFloat:
      return "a list of floats";
    case ListKind::kInt64:
      return "a list of integers";
    case ListKind::kNone:
      break;
  }
  return "nothing";
}

FeatureValue feature_value(std::string_view feature) {
  FeatureValue value;
  for (WireReader fields(feature); fields.next();) {
    if (fields.number() < 1 || fields.number() > 3) continue;
    if (!fields.is_bytes()) throw_damaged();
    const auto kind = static_cast<ListKind>(fields.number());
    if (value.kind == kind) throw data_loss("expected one list, found it in two pieces");
    value = {kind, fields.bytes()};  // of several kinds the last counts, as in any oneof
  }
  return value;
}

int64_t count_values(const FeatureValue& value) {
  int64_t count = 0;
  for (WireReader fields(value.list); fields.next();) {
    if (fields.number() != 1) continue;
    if (value.kind == ListKind::kBytes || !fields.is_bytes()) {
      ++count;
    } else if (value.kind == ListKind::kFloat) {
      count += static_cast<int64_t>(fields.bytes().size() / 4);
    } else {
      count += count_varints(fields.bytes());
    }
  }
  return count;
}

int64_t read_floats(const FeatureValue& value, std::span<float> out) {
  if (value.kind == ListKind::kNone) return 0;
  if (value.kind == ListKind::kInt64) return read_integers_as_floats(value, out);
  if (value.kind != ListKind::kFloat) throw_other_kind(value, "a list of floats");
  if (const char* const run = only_run(value.list);
      run != nullptr && value.list.size() - 2 == 4 * out.size()) {
    std::memcpy(out.data(), run, 4 * out.size());
    return static_cast<int64_t>(out.size());
  }
  size_t count = 0;
  for_each_run(value.list, 5, [&](std::string_view bytes) {
    if (bytes.size() % 4 != 0) throw_damaged();
    const size_t more = bytes.size() / 4;
    if (count < out.size() && more > 0) {
      std::memcpy(&out[count], bytes.data(), 4 * std::min(more, out.size() - count));
    }
    count += more;
  });
  return static_cast<int64_t>(count);
}

int64_t read_integers(const FeatureValue& value, std::span<int64_t> out) {
  return read_integers_as(value, out);
}
int64_t read_integers(const FeatureValue& value, std::span<int32_t> out) {
  return read_integers_as(value, out);
}

int64_t read_strings(const FeatureValue& value, std::span<std::string> out) {
  if (value.kind == ListKind::kNone) return 0;
  if (value.kind != ListKind::kBytes) throw_other_kind(value, "a list of strings");
  size_t count = 0;
  for_each_run(value.list, 2, [&](std::string_view bytes) {
    if (count < out.size()) out[count].assign(bytes);
    ++count;
  });
  return static_cast<int64_t>(count);
}

std::string_view read_only_string(const FeatureValue& value) {
  if (value.kind == ListKind::kNone) throw data_loss("expected one string, the record has none");
  if (value.kind != ListKind::kBytes) throw_other_kind(value, "a list of strings");
  std::string_view only;
  int64_t count = 0;
  for_each_run(value.list, 2, [&](std::string_view bytes) {
    only = bytes;
    ++count;
  });
  if (count != 1) throw data_loss("expected one string, found ", count);
  return only;
}

}  // namespace trireme::data
