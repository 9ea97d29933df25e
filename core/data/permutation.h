// A seeded permutation of [0, n) in constant memory: a Feistel network over the next power of two
// whose round keys come from Philox, walked until it lands inside (Black and Rogaway 2002, "Ciphers
// with arbitrary finite domains").
//
// Less than two walks are needed on average. A value: cheap to make, safe to share.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/philox.h"

namespace trireme::data {

class Permutation {
 public:
  // REQUIRES: 0 ≤ n < 2^62.
  Permutation(int64_t n, uint64_t seed, uint64_t epoch) : n_(static_cast<uint64_t>(n)) {
    const int bits = n > 4 ? std::bit_width(n_ - 1) : 2;
    low_bits_ = bits / 2;
    high_bits_ = bits - low_bits_;
    const PhiloxBlock block = philox(seed, hash_name("shuffle"), epoch);
    key_ = (uint64_t{block[1]} << 32) | block[0];
    step_ = ((uint64_t{block[3]} << 32) | block[2]) | 1;
  }

  // REQUIRES: 0 ≤ index < n.
  int64_t operator()(int64_t index) const {
    uint64_t x = static_cast<uint64_t>(index);
    do {
      x = encrypt(x);
    } while (x >= n_);
    return static_cast<int64_t>(x);
  }

 private:
  // Eight rounds, an even number, so that the two halves end with the widths that they began with.
  uint64_t encrypt(uint64_t x) const {
    int high = high_bits_, low = low_bits_;
    uint64_t key = key_;
    for (int round = 0; round < 8; ++round, key += step_) {
      const uint64_t right = x & ((uint64_t{1} << low) - 1);
      const uint64_t left = (x >> low) ^ (mix(right + key) & ((uint64_t{1} << high) - 1));
      x = (right << high) | left;
      const int swapped = high;
      high = low;
      low = swapped;
    }
    return x;
  }

  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
  }

  uint64_t n_, key_, step_;
  int high_bits_, low_bits_;
};

}  // namespace trireme::data
