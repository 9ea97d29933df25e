// CRC-32C (Castagnoli; RFC 3720, B.4), as TensorFlow's and LevelDB's files use it.
//
// Runs on the SSE4.2 instruction where the processor has it, else on tables; both give the same
// values. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trireme::io {

// The checksum of what `crc` covers followed by `size` bytes at `data`; 0 is the checksum of
// nothing.
uint32_t crc32c_extend(uint32_t crc, const void* data, size_t size);

inline uint32_t crc32c(std::string_view bytes) {
  return crc32c_extend(0, bytes.data(), bytes.size());
}

// A checksum that is itself stored in checksummed data is masked first: the CRC of bytes with their
// own CRC in them is degenerate. Files hold masked values.
constexpr uint32_t mask_crc(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }
constexpr uint32_t unmask_crc(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

// The table version, for processors without the instruction; public so that tests compare the two.
uint32_t crc32c_extend_portable(uint32_t crc, const void* data, size_t size);

}  // namespace trireme::io
