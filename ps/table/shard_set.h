// A set of virtual shards.
#pragma once

#include <bitset>
#include <cstdint>

#include "ps/table/shard_map.h"

namespace trireme::ps {

using ShardSet = std::bitset<kMostVirtualShards>;

// All of a job that has so many.
ShardSet all_shards(int shards);

// Empty for a number that none has.
inline ShardSet only(int shard) {
  ShardSet set;
  if (shard >= 0 && shard < kMostVirtualShards) set.set(static_cast<size_t>(shard));
  return set;
}

// In ascending order.
template <typename Visit>
void for_each_shard(const ShardSet& set, Visit visit) {
  for (size_t shard = set._Find_first(); shard < set.size(); shard = set._Find_next(shard)) {
    visit(static_cast<int>(shard));
  }
}

// A set of shards of one slot as it is sent and saved, in a job that has so many: a bit each for 64
// of them. With more a slot has at most kMostShardsOfSlot: their numbers, 10 bits each, below how
// many there are. kAllShards is the set of all of them either way.
inline constexpr uint64_t kAllShards = ~uint64_t{0};
uint64_t pack_shards(const ShardSet& set, int shards);
// What is not packed of such a job comes out as a set of fewer.
ShardSet unpack_shards(uint64_t packed, int shards);

}  // namespace trireme::ps
