#include "ps/table/shard_set.h"

#include "core/base/error.h"

namespace trireme::ps {
namespace {

constexpr int kBitsOfNumber = 10, kPlaceOfCount = 60;
constexpr uint64_t kNumberMask = (uint64_t{1} << kBitsOfNumber) - 1;
static_assert(kMostVirtualShards == 1 << kBitsOfNumber);
static_assert(kMostShardsOfSlot * kBitsOfNumber <= kPlaceOfCount);

}  // namespace

size_t ShardSet::first() const {
  if (first_ != 0) return static_cast<size_t>(std::countr_zero(first_));
  if (rest_ == nullptr) return size();
  for (size_t i = 0; i < rest_->size(); ++i) {
    if (const uint64_t word = (*rest_)[i]; word != 0) {
      return (i + 1) * kBits + static_cast<size_t>(std::countr_zero(word));
    }
  }
  return size();
}

bool ShardSet::rest_has(size_t shard) const {
  TRIREME_CHECK(shard < size(), "virtual shard ", shard, " of at most ", size());
  return rest_ != nullptr && ((*rest_)[shard / kBits - 1] >> shard % kBits & 1) != 0;
}

void ShardSet::set_rest(size_t shard, bool is_in) {
  if (rest_has(shard) == is_in) return;
  if (rest_ == nullptr) rest_ = std::make_unique<Rest>();
  (*rest_)[shard / kBits - 1] ^= uint64_t{1} << shard % kBits;
}

void ShardSet::copy_rest(const ShardSet& other) {
  rest_ = other.rest_ == nullptr ? nullptr : std::make_unique<Rest>(*other.rest_);
}

size_t ShardSet::rest_count() const {
  size_t count = 0;
  for (const uint64_t word : *rest_) count += static_cast<size_t>(std::popcount(word));
  return count;
}

bool ShardSet::rest_contains(const ShardSet& other) const {
  if (rest_ == nullptr) return other.rest_count() == 0;
  for (size_t i = 0; i < rest_->size(); ++i) {
    if (((*other.rest_)[i] & ~(*rest_)[i]) != 0) return false;
  }
  return true;
}

bool ShardSet::rest_intersects(const ShardSet& other) const {
  for (size_t i = 0; i < rest_->size(); ++i) {
    if (((*rest_)[i] & (*other.rest_)[i]) != 0) return true;
  }
  return false;
}

void ShardSet::add_rest(const ShardSet& other) {
  if (rest_ == nullptr) return copy_rest(other);
  for (size_t i = 0; i < rest_->size(); ++i) (*rest_)[i] |= (*other.rest_)[i];
}

void ShardSet::keep_rest(const ShardSet& other) {
  if (other.rest_ == nullptr) return rest_.reset();
  for (size_t i = 0; i < rest_->size(); ++i) (*rest_)[i] &= (*other.rest_)[i];
}

void ShardSet::remove_rest(const ShardSet& other) {
  for (size_t i = 0; i < rest_->size(); ++i) (*rest_)[i] &= ~(*other.rest_)[i];
}

ShardSet all_shards(int shards) {
  ShardSet all(shards >= 64 ? kAllShards : (uint64_t{1} << shards) - 1);
  for (int shard = 64; shard < shards; ++shard) all.set(static_cast<size_t>(shard));
  return all;
}

uint64_t pack_shards(const ShardSet& set, int shards) {
  if (shards <= kVirtualShards) return set.first_64();
  if (set.contains(all_shards(shards))) return kAllShards;
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
