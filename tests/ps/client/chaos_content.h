// What the workers of the chaos test push: small whole numbers, a function of worker and step, so
// that anybody can add up what must be there in the end, and a worker that was started again
// repeats itself.
#pragma once

#include <cstdint>
#include <vector>

#include "ps/table/table_spec.h"

namespace trireme::ps::testing {

inline constexpr int kChaosWorkers = 3, kChaosServers = 2;
inline constexpr int64_t kSparseDim = 4, kDenseDim = 8, kDenseRows = 48;
inline constexpr int64_t kKeyRange = 300, kKeysAPush = 40;

inline std::vector<TableSpec> chaos_tables() {
  return {
      {.name = "sparse", .dim = kSparseDim},
      {.name = "dense", .dim = kDenseDim, .rows = kDenseRows, .elements = kDenseRows * kDenseDim}};
}

struct ChaosPush {
  std::vector<int64_t> keys;  // in no order, and some more than once
  std::vector<float> sparse, dense;
};

// SplitMix64: numbers that look random.
inline uint64_t chaos_number(uint64_t seed) {
  uint64_t x = seed + 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline ChaosPush chaos_push(int worker, int64_t step) {
  ChaosPush push;
  uint64_t seed = chaos_number(static_cast<uint64_t>(step) * 64 + static_cast<uint64_t>(worker));
  const auto next = [&seed](uint64_t below) {
    seed = chaos_number(seed);
    return seed % below;
  };
  const auto value = [&next] { return static_cast<float>(next(7)) - 2; };
  for (int64_t i = 0; i < kKeysAPush; ++i) {
    push.keys.push_back(static_cast<int64_t>(next(kKeyRange)));
    for (int64_t k = 0; k < kSparseDim; ++k) push.sparse.push_back(value());
  }
  for (int64_t i = 0; i < kDenseRows * kDenseDim; ++i) push.dense.push_back(value());
  return push;
}

// The sums of the first `steps[worker]` pushes of each worker.
struct ChaosSums {
  std::vector<float> sparse, dense;

  explicit ChaosSums(const std::vector<int64_t>& steps)
      : sparse(kKeyRange * kSparseDim), dense(kDenseRows * kDenseDim) {
    for (int worker = 0; worker < static_cast<int>(steps.size()); ++worker) {
      for (int64_t step = 1; step <= steps[static_cast<size_t>(worker)]; ++step) {
        const ChaosPush push = chaos_push(worker, step);
        for (size_t i = 0; i < push.sparse.size(); ++i) {
          const auto key = static_cast<size_t>(push.keys[i / kSparseDim]);
          sparse[key * kSparseDim + i % kSparseDim] += push.sparse[i];
        }
        for (size_t i = 0; i < dense.size(); ++i) dense[i] += push.dense[i];
      }
    }
  }
};

// A line of a worker's journal: a push and when it was begun and acknowledged, by the clock that
// all processes of a host share. The last line, when the worker was asked to end, has the last step
// and no times.
struct ChaosRecord {
  int64_t step = 0, begun_ns = 0, acknowledged_ns = 0;
};

}  // namespace trireme::ps::testing
