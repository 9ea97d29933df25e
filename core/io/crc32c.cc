#include "core/io/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace trireme::io {
namespace {

// The bytes of a word are used as they lie in memory.
static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kPolynomial = 0x82f63b78;  // bit-reversed 0x1edc6f41

// kTables[k][b]: the CRC of byte b followed by k zero bytes, so that 8 bytes take 8 independent
// look-ups.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = (crc >> 8) ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

#if defined(__x86_64__)
// The instruction takes 3 cycles, but one can start each cycle: three neighbouring stripes go in
// parallel. Their sums are joined by moving the first over the second's bytes as if they were
// zeros, which is linear in its bits.
constexpr size_t kStripe = 4096;

class ZeroStripe {
 public:
  ZeroStripe() {
    for (int bit = 0; bit < 32; ++bit) {
      uint32_t state = uint32_t{1} << bit;
      for (size_t i = 0; i < kStripe; ++i) state = (state >> 8) ^ kTables[0][state & 0xff];
      columns_[bit] = state;
    }
    for (size_t byte = 0; byte < 4; ++byte) {
      for (size_t value = 0; value < 256; ++value) {
        for (size_t bit = 0; bit < 8; ++bit) {
          if (value >> bit & 1) tables_[byte][value] ^= columns_[8 * byte + bit];
        }
      }
    }
  }
  // The state after kStripe zero bytes.
  uint32_t operator()(uint32_t state) const {
    return tables_[0][state & 0xff] ^ tables_[1][state >> 8 & 0xff] ^
           tables_[2][state >> 16 & 0xff] ^ tables_[3][state >> 24];
  }

 private:
  std::array<uint32_t, 32> columns_{};
  std::array<std::array<uint32_t, 256>, 4> tables_{};
};

uint64_t word_at(const unsigned char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t extend_sse42(uint32_t crc, const void* data,
                                                        size_t size) {
  static const ZeroStripe over_zeros;
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t state = ~crc;
  for (; size >= 3 * kStripe; size -= 3 * kStripe, bytes += 3 * kStripe) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStripe; i += 8) {
      state = _mm_crc32_u64(state, word_at(bytes + i));
      second = _mm_crc32_u64(second, word_at(bytes + kStripe + i));
      third = _mm_crc32_u64(third, word_at(bytes + 2 * kStripe + i));
    }
    const uint32_t joined =
        over_zeros(static_cast<uint32_t>(state)) ^ static_cast<uint32_t>(second);
    state = over_zeros(joined) ^ static_cast<uint32_t>(third);
  }
  for (; size >= 8; size -= 8, bytes += 8) state = _mm_crc32_u64(state, word_at(bytes));
  auto state32 = static_cast<uint32_t>(state);
  for (; size > 0; --size) state32 = _mm_crc32_u8(state32, *bytes++);
  return ~state32;
}
#endif

}  // namespace

uint32_t crc32c_extend_portable(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t state = ~crc;
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    word ^= state;
    state = 0;
    for (size_t k = 0; k < 8; ++k) state ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; size > 0; --size) state = (state >> 8) ^ kTables[0][(state ^ *bytes++) & 0xff];
  return ~state;
}

uint32_t crc32c_extend(uint32_t crc, const void* data, size_t size) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return extend_sse42(crc, data, size);
#endif
  return crc32c_extend_portable(crc, data, size);
}

}  // namespace trireme::io
