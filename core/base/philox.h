// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3").
//
// A number is a pure function of (key, counter), so any worker can draw any example's numbers
// without having drawn those before it. The same job therefore sees the same dropout masks on 1, 2
// or 4 workers.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/base/host_device.h"

namespace trireme {

using PhiloxBlock = std::array<uint32_t, 4>;

TRIREME_HOST_DEVICE constexpr PhiloxBlock philox(uint64_t key, uint64_t counter_high,
                                                 uint64_t counter_low) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

// Uniform in [0, 1): the top 24 bits.
TRIREME_HOST_DEVICE constexpr float uniform_float(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

// A standard normal number of those within ±2, drawn from one word: the word is made uniform in
// (−1, 1), and the inverse of the distribution is v·P(v²)/Q(v²), fitted to a relative error of
// 1.2e-8. In double: near ±1 the polynomials are differences of larger numbers.
TRIREME_HOST_DEVICE constexpr double truncated_normal(uint32_t bits) {
  const double v = (static_cast<double>(bits) + 0.5) * 0x1p-31 - 1, s = v * v;
  const double p =
      2.5066282450788684 +
      s * (-6.098407744473189 +
           s * (5.158946398916393 +
                s * (-1.7017597286641615 + s * (0.14790157982702629 + s * 0.005951659059489529))));
  const double q =
      1 + s * (-2.6714311160156674 +
               s * (2.5758475823562805 + s * (-1.0480597845701813 + s * 0.14823933228827862)));
  const double x = 0.4772498680518208 * v * p / q;
  return x < -2 ? -2 : x > 2 ? 2 : x;
}
// The standard deviation of such numbers.
inline constexpr double kTruncatedNormalStddev = 0.87962566103423978;

// FNV-1a, to make a key from a name.
constexpr uint64_t hash_name(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

// Draws numbers one after another; for code on one thread (shuffles, drawing data), not for
// kernels.
class PhiloxGenerator {
 public:
  explicit PhiloxGenerator(uint64_t seed, uint64_t stream = 0) : key_(seed), stream_(stream) {}
  uint32_t next() {
    if (used_ == 4) {
      block_ = philox(key_, stream_, counter_++);
      used_ = 0;
    }
    return block_[used_++];
  }
  float uniform() { return uniform_float(next()); }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  // Uniform in [0, n), n > 0, without bias that matters for n < 2^48.
  uint64_t below(uint64_t n) {
    const uint64_t wide = (uint64_t{next()} << 32) | next();
    return static_cast<uint64_t>((static_cast<Wide>(wide) * n) >> 64);
  }
  float normal();  // mean 0, variance 1 (Box-Muller)

 private:
  __extension__ typedef unsigned __int128 Wide;
  uint64_t key_, stream_, counter_ = 0;
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace trireme
