#include "ps/table/shard_map.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::ps {

// The finaliser of splitmix64 (Steele et al. 2014).
uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

ShardMap::ShardMap(std::span<const TableSpec> tables, int shards) : shards_(shards) {
  TRIREME_CHECK(shards > 0, shards, " virtual shards");
  for (const TableSpec& table : tables) {
    first_byte_.push_back(dense_bytes_);
    row_bytes_.push_back(table.is_dense() ? table.dim * int64_t{sizeof(float)} : 0);
    dense_bytes_ += row_bytes_.back() * table.rows;
  }
}

int ShardMap::shard_of(int table, int64_t key) const {
  const auto t = static_cast<size_t>(table);
  if (row_bytes_[t] == 0) {
    return static_cast<int>(mix_bits(static_cast<uint64_t>(key)) % static_cast<uint64_t>(shards_));
  }
  const int64_t middle = first_byte_[t] + key * row_bytes_[t] + row_bytes_[t] / 2;
  return static_cast<int>(std::min<int64_t>(shards_ - 1, middle * shards_ / dense_bytes_));
}

}  // namespace trireme::ps
