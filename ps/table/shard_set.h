// A set of virtual shards.
#pragma once

#include <bitset>

#include "ps/table/shard_map.h"

namespace trireme::ps {

using ShardSet = std::bitset<kVirtualShards>;

// Empty for a number that none has.
inline ShardSet only(int shard) {
  ShardSet set;
  if (shard >= 0 && shard < kVirtualShards) set.set(static_cast<size_t>(shard));
  return set;
}

}  // namespace trireme::ps
