#include "ps/table/shard_set.h"

#include <gtest/gtest.h>

#include <random>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

// Checkpoints and pushes of jobs with at most 64 servers are as they were: a bit for each shard.
TEST(ShardSetTest, IsABitForEachOf64Shards) {
  for (const uint64_t bits : {uint64_t{0}, uint64_t{1}, uint64_t{0x8000000000000001}, kAllShards}) {
    EXPECT_EQ(pack_shards(unpack_shards(bits, 64), 64), bits);
  }
  EXPECT_EQ(pack_shards(only(5), 64), uint64_t{1} << 5);
  EXPECT_EQ(unpack_shards(kAllShards, 64), all_shards(64));
}

TEST(ShardSetTest, PacksTheShardsOfASlotAmongMany) {
  std::mt19937 random(5);
  for (const int shards : {128, 256, 512, 1024}) {
    EXPECT_EQ(unpack_shards(kAllShards, shards), all_shards(shards));
    EXPECT_EQ(pack_shards(all_shards(shards), shards), kAllShards);
    for (int i = 0; i < 1000; ++i) {
      ShardSet set;
      for (int k = i % (kMostShardsOfSlot + 1); k > 0; --k) {
        set.set(random() % static_cast<unsigned>(shards));
      }
      EXPECT_EQ(unpack_shards(pack_shards(set, shards), shards), set);
    }
    // Whatever comes over the network is a set of shards that there are.
    for (int i = 0; i < 1000; ++i) {
      const uint64_t bits = uint64_t{random()} << 32 | random();
      EXPECT_TRUE((unpack_shards(bits, shards) & ~all_shards(shards)).none());
    }
  }
  ShardSet many;
  for (size_t shard = 0; shard < kMostShardsOfSlot + 1; ++shard) many.set(shard);
  EXPECT_THROW(pack_shards(many, 128), Error) << "never a set of fewer";
}

}  // namespace
}  // namespace trireme::ps
