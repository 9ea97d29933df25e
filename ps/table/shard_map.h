// Which virtual shard a row belongs to. All tasks compute the same.
//
// Sparse keys are spread by a hash. The rows of dense variables lie, in the order of the tables,
// along one line that is cut into equal pieces: so bytes are balanced however different the
// variables are.
//
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ps/table/table_spec.h"

namespace trireme::ps {

// So many for each server at 64 servers at least; a table can move to any number of servers up to
// this.
inline constexpr int kVirtualShards = 64;

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
