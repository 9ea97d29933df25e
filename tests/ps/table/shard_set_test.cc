#include "ps/table/shard_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bitset>
#include <random>
#include <utility>
#include <vector>

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
      EXPECT_TRUE(all_shards(shards).contains(unpack_shards(bits, shards)));
    }
  }
  ShardSet many;
  for (size_t shard = 0; shard < kMostShardsOfSlot + 1; ++shard) many.set(shard);
  EXPECT_THROW(pack_shards(many, 128), Error) << "never a set of fewer";
}

using Bits = std::bitset<kMostVirtualShards>;

Bits bits_of(const ShardSet& set) {
  Bits bits;
  for_each_shard(set, [&](int shard) { bits.set(static_cast<size_t>(shard)); });
  return bits;
}

// All that a set says of itself.
void expect_same(const ShardSet& set, const Bits& bits) {
  ASSERT_EQ(bits_of(set), bits);
  ASSERT_EQ(set.any(), bits.any());
  ASSERT_EQ(set.none(), bits.none());
  ASSERT_EQ(set.count(), bits.count());
  ASSERT_EQ(set.first(), bits._Find_first());
  ASSERT_EQ(set.first_64(), (bits & Bits(kAllShards)).to_ullong());
  for (size_t shard = 0; shard < bits.size(); ++shard) ASSERT_EQ(set[shard], bits[shard]) << shard;
}

void expect_same(const ShardSet& a, const ShardSet& b, const Bits& x, const Bits& y) {
  ASSERT_EQ(a == b, x == y);
  ASSERT_EQ(a.contains(b), (y & ~x).none());
  ASSERT_EQ(a.intersects(b), (x & y).any());
  ASSERT_EQ(bits_of(a | b), x | y);
  ASSERT_EQ(bits_of(a & b), x & y);
  ASSERT_EQ(bits_of(a - b), x & ~y);
}

// One wrong shard in it is a push that is applied twice, or never.
TEST(ShardSetTest, DoesWhatABitsetDoesBelowAndAbove64Shards) {
  std::mt19937 random(11);
  for (const unsigned shards : {1U, 5U, 64U, 65U, 128U, 1024U}) {
    // Few numbers, so that sets often have the same: at both ends.
    const auto draw = [&] {
      const unsigned few = std::min(shards, 8U);
      return size_t{random() % 2 == 0 ? random() % few : shards - 1 - random() % few};
    };
    std::vector<ShardSet> sets(4);
    std::vector<Bits> bits(4);
    for (int step = 0; step < 2000; ++step) {
      const size_t to = random() % 4, from = random() % 4, shard = draw();
      const auto number = static_cast<int>(shard);
      switch (random() % 13) {
        case 0:
        case 1:
          sets[to].set(shard), bits[to].set(shard);
          break;
        case 2:
          sets[to].reset(shard), bits[to].reset(shard);
          break;
        case 3: {
          const bool is_in = random() % 2 == 0;
          sets[to].set(shard, is_in), bits[to].set(shard, is_in);
          break;
        }
        case 4:
          sets[to] |= sets[from], bits[to] |= bits[from];
          break;
        case 5:
          sets[to] &= sets[from], bits[to] &= bits[from];
          break;
        case 6: {
          const Bits without = bits[to] & ~bits[from];
          sets[to] -= sets[from], bits[to] = without;
          break;
        }
        case 7:
          sets[to] = sets[from], bits[to] = bits[from];
          break;
        case 8: {
          ShardSet copy = sets[from];
          sets[to] = std::move(copy), bits[to] = bits[from];
          break;
        }
        case 9:
          std::swap(sets[to], sets[from]), std::swap(bits[to], bits[from]);
          break;
        case 10:
          sets[to].reset(), bits[to].reset();
          break;
        case 11:
          sets[to] = only(number), bits[to] = Bits().set(shard);
          break;
        default:
          sets[to] = all_shards(number), bits[to].reset();
          for (size_t below = 0; below < shard; ++below) bits[to].set(below);
      }
      SCOPED_TRACE(str_cat("step ", step, " with ", shards, " shards"));
      expect_same(sets[to], bits[to]);
      for (size_t other = 0; other < 4; ++other) {
        expect_same(sets[to], sets[other], bits[to], bits[other]);
      }
      if (HasFatalFailure()) return;
    }
  }
}

// An index out of range would be a write to memory that the set has not.
TEST(ShardSetTest, RefusesAShardThatNoJobHas) {
  ShardSet set;
  EXPECT_THROW(set.set(kMostVirtualShards), Error);
  EXPECT_THROW((void)set[kMostVirtualShards], Error);
  EXPECT_TRUE(only(kMostVirtualShards).none());
  EXPECT_TRUE(only(-1).none());
  EXPECT_TRUE(set.none());
}

}  // namespace
}  // namespace trireme::ps
