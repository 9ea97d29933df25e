// The bucket of a whole number, the same on every device and in every version of this program: what
// was trained with one must find its rows in another.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace trireme {

// The finalizer of SplitMix64 (Steele et al. 2014) of key + salt·odd, modulo `buckets`.
// REQUIRES: buckets ≥ 1.
TRIREME_HOST_DEVICE inline int64_t hash_bucket(int64_t key, int64_t salt, int64_t buckets) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15u;
  uint64_t z = static_cast<uint64_t>(key) + (static_cast<uint64_t>(salt) + 1) * kOdd;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return static_cast<int64_t>(z % static_cast<uint64_t>(buckets));
}

}  // namespace trireme
