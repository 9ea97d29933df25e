// Which virtual shard a row belongs to. All tasks compute the same.
//
// Sparse keys are spread by a hash. The rows of dense variables lie, in the order of the tables,
// along one line that is cut into equal pieces: so bytes are balanced however different the
// variables are.
//
// Immutable; any thread.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "ps/table/table_spec.h"

namespace trireme::ps {

// Of a job with at most so many servers.
inline constexpr int kVirtualShards = 64;
inline constexpr int kMostVirtualShards = 1024;
// With more servers than kVirtualShards a slot holds at most so many: see shard_set.h.
inline constexpr int kMostShardsOfSlot = 6;

// How many a job has, so that each server holds one at least.
constexpr int virtual_shards(int servers) {
  return servers <= kVirtualShards
             ? kVirtualShards
             : static_cast<int>(std::bit_ceil(static_cast<unsigned>(servers)));
}

// A bijection in which each bit of the result depends on all bits of `x`.
uint64_t mix_bits(uint64_t x);

class ShardMap {
 public:
  explicit ShardMap(std::span<const TableSpec> tables, int shards = kVirtualShards);

  int shards() const { return shards_; }
  // 0 ≤ result < shards().
  int shard_of(int table, int64_t key) const;

 private:
  int shards_;
  std::vector<int64_t> first_byte_, row_bytes_;  // of dense tables; row_bytes_ 0: sparse
  int64_t dense_bytes_ = 0;
};

}  // namespace trireme::ps
