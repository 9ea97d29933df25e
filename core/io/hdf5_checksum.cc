#include <bit>
#include <cstring>

#include "core/io/hdf5_format.h"

namespace trireme::io::hdf5 {

uint32_t checksum(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t a = 0xdeadbeef + static_cast<uint32_t>(size), b = a, c = a;
  const auto add = [&](const uint8_t* from) {
    uint32_t words[3];
    std::memcpy(words, from, sizeof words);
    a += words[0];
    b += words[1];
    c += words[2];
  };
  // Twelve bytes at a time; the last one to twelve are mixed in another way.
  for (; size > 12; size -= 12, bytes += 12) {
    add(bytes);
    a = (a - c) ^ std::rotl(c, 4), c += b;
    b = (b - a) ^ std::rotl(a, 6), a += c;
    c = (c - b) ^ std::rotl(b, 8), b += a;
    a = (a - c) ^ std::rotl(c, 16), c += b;
    b = (b - a) ^ std::rotl(a, 19), a += c;
    c = (c - b) ^ std::rotl(b, 4), b += a;
  }
  if (size == 0) return c;
  uint8_t rest[12] = {};
  std::memcpy(rest, bytes, size);
  add(rest);
  c = (c ^ b) - std::rotl(b, 14);
  a = (a ^ c) - std::rotl(c, 11);
  b = (b ^ a) - std::rotl(a, 25);
  c = (c ^ b) - std::rotl(b, 16);
  a = (a ^ c) - std::rotl(c, 4);
  b = (b ^ a) - std::rotl(a, 14);
  c = (c ^ b) - std::rotl(b, 24);
  return c;
}

}  // namespace trireme::io::hdf5
