#include "core/io/record_framing.h"

#include <array>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"
#include "core/io/crc32c.h"

namespace trireme::io {
namespace {

template <typename T>
T little_endian(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::string hex(uint32_t value) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// Of `bytes`, which `masked` is to be the checksum of.
void check_crc(std::string_view bytes, uint32_t masked, std::string_view what) {
  const uint32_t stored = unmask_crc(masked), computed = crc32c(bytes);
  if (stored == computed) return;
  throw data_loss("expected the CRC-32C ", hex(stored), " of ", what, ", computed ", hex(computed),
                  "; the file is damaged: copy it anew");
}

}  // namespace

uint64_t record_length(std::span<const uint8_t> header, uint64_t max_bytes) {
  check_crc(text_of(header.data(), 8), little_endian<uint32_t>(&header[8]), "the length");
  const auto length = little_endian<uint64_t>(header.data());
  if (length <= max_bytes) return length;
  throw data_loss("expected at most ", max_bytes, " bytes (max_record_bytes), its length says ",
                  length);
}

bool is_record_header(std::span<const uint8_t> header) {
  return header.size() >= kRecordHeaderBytes &&
         unmask_crc(little_endian<uint32_t>(&header[8])) == crc32c(text_of(header.data(), 8));
}

void check_record(std::string_view record, const uint8_t* footer) {
  check_crc(record, little_endian<uint32_t>(footer), "the record's bytes");
}

void put_record_header(char* out, uint64_t length) {
  std::memcpy(out, &length, 8);
  const uint32_t crc = mask_crc(crc32c({out, 8}));
  std::memcpy(out + 8, &crc, 4);
}

void append_record_header(std::string& out, std::string_view record) {
  std::array<char, kRecordHeaderBytes> header;
  put_record_header(header.data(), record.size());
  out.append(header.data(), header.size());
}

void append_record_footer(std::string& out, std::string_view record) {
  const uint32_t crc = mask_crc(crc32c(record));
  out.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

void close_record(std::string& out, size_t begin) {
  const size_t first = begin + kRecordHeaderBytes;
  const std::string_view record = std::string_view(out).substr(first);
  put_record_header(out.data() + begin, record.size());
  const uint32_t crc = mask_crc(crc32c(record));
  out.append(reinterpret_cast<const char*>(&crc), sizeof crc);
}

}  // namespace trireme::io
