#include "ps/table/shard_set.h"

#include "core/base/error.h"

namespace trireme::ps {
namespace {

constexpr int kBitsOfNumber = 10, kPlaceOfCount = 60;
constexpr uint64_t kNumberMask = (uint64_t{1} << kBitsOfNumber) - 1;
static_assert(kMostVirtualShards == 1 << kBitsOfNumber);
static_assert(kMostShardsOfSlot * kBitsOfNumber <= kPlaceOfCount);

}  // namespace

ShardSet all_shards(int shards) {
  return ~ShardSet() >> static_cast<size_t>(kMostVirtualShards - shards);
}

uint64_t pack_shards(const ShardSet& set, int shards) {
  static const ShardSet kFirst(kAllShards);
  if (shards <= kVirtualShards) return (set & kFirst).to_ullong();
  if ((all_shards(shards) & ~set).none()) return kAllShards;
  uint64_t packed = 0;
  int count = 0;
  for_each_shard(set, [&](int shard) {
    TRIREME_CHECK(count < kMostShardsOfSlot, "a slot with more than ", kMostShardsOfSlot, " of ",
                  shards, " virtual shards");
    packed |= static_cast<uint64_t>(shard) << (kBitsOfNumber * count++);
  });
  return packed | static_cast<uint64_t>(count) << kPlaceOfCount;
}

ShardSet unpack_shards(uint64_t packed, int shards) {
  if (shards <= kVirtualShards) return ShardSet(packed);
  if (packed == kAllShards) return all_shards(shards);
  ShardSet set;
  const auto count = static_cast<int>(packed >> kPlaceOfCount);
  for (int i = 0; i < count && i < kMostShardsOfSlot; ++i) {
    const auto shard = static_cast<int>(packed >> (kBitsOfNumber * i) & kNumberMask);
    if (shard < shards) set.set(static_cast<size_t>(shard));
  }
  return set;
}

}  // namespace trireme::ps
