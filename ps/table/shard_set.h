// A set of virtual shards.
#pragma once

#include <bitset>

#include "ps/table/shard_map.h"

namespace trireme::ps {

using ShardSet = std::bitset<kVirtualShards>;

}  // namespace trireme::ps
