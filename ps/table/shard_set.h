// A set of virtual shards.
//
// Sets are copied and compared several times for each push. Most jobs have 64 shards: theirs is one
// word. Only a set that has had a higher number has memory beside it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "ps/table/shard_map.h"

namespace trireme::ps {

class ShardSet {
 public:
  ShardSet() = default;
  explicit ShardSet(uint64_t first_64) : first_(first_64) {}
  ShardSet(const ShardSet& other) : first_(other.first_) {
    if (other.rest_ != nullptr) rest_ = std::make_unique<Rest>(*other.rest_);
  }
  ShardSet(ShardSet&&) noexcept = default;
  ShardSet& operator=(const ShardSet& other) {
    if (this == &other) return *this;
    first_ = other.first_;
    if (rest_ != nullptr || other.rest_ != nullptr) copy_rest(other);
    return *this;
  }
  ShardSet& operator=(ShardSet&&) noexcept = default;
  ~ShardSet() = default;

  static constexpr size_t size() { return kMostVirtualShards; }  // shards are below that

  // These throw Error{kInternal} for a number that is not below size().
  bool operator[](size_t shard) const {
    if (shard < kBits) return (first_ >> shard & 1) != 0;
    return rest_has(shard);
  }
  void set(size_t shard, bool is_in = true) {
    if (shard >= kBits) return set_rest(shard, is_in);
    const uint64_t bit = uint64_t{1} << shard;
    first_ = is_in ? first_ | bit : first_ & ~bit;
  }
  void reset(size_t shard) { set(shard, false); }
  void reset() { *this = {}; }

  bool any() const { return first_ != 0 || (rest_ != nullptr && rest_count() > 0); }
  bool none() const { return !any(); }
  size_t count() const {
    const auto first = static_cast<size_t>(std::popcount(first_));
    return rest_ == nullptr ? first : first + rest_count();
  }
  // The lowest number; size() when there is none.
  size_t first() const;
  uint64_t first_64() const { return first_; }

  bool contains(const ShardSet& other) const {
    return (other.first_ & ~first_) == 0 && (other.rest_ == nullptr || rest_contains(other));
  }
  bool intersects(const ShardSet& other) const {
    return (first_ & other.first_) != 0 ||
           (rest_ != nullptr && other.rest_ != nullptr && rest_intersects(other));
  }
  friend bool operator==(const ShardSet& a, const ShardSet& b) {
    return a.first_ == b.first_ &&
           ((a.rest_ == nullptr && b.rest_ == nullptr) || (a.contains(b) && b.contains(a)));
  }

  ShardSet& operator|=(const ShardSet& other) {
    first_ |= other.first_;
    if (other.rest_ != nullptr) add_rest(other);
    return *this;
  }
  ShardSet& operator&=(const ShardSet& other) {
    first_ &= other.first_;
    if (rest_ != nullptr) keep_rest(other);
    return *this;
  }
  ShardSet& operator-=(const ShardSet& other) {
    first_ &= ~other.first_;
    if (rest_ != nullptr && other.rest_ != nullptr) remove_rest(other);
    return *this;
  }
  friend ShardSet operator|(ShardSet a, const ShardSet& b) { return std::move(a |= b); }
  friend ShardSet operator&(ShardSet a, const ShardSet& b) { return std::move(a &= b); }
  friend ShardSet operator-(ShardSet a, const ShardSet& b) { return std::move(a -= b); }

 private:
  static constexpr size_t kBits = 64;
  using Rest = std::array<uint64_t, kMostVirtualShards / kBits - 1>;

  template <typename Visit>
  friend void for_each_shard(const ShardSet& set, Visit visit);

  bool rest_has(size_t shard) const;
  void set_rest(size_t shard, bool is_in);
  void copy_rest(const ShardSet& other);
  size_t rest_count() const;
  bool rest_contains(const ShardSet& other) const;
  bool rest_intersects(const ShardSet& other) const;
  void add_rest(const ShardSet& other);
  void keep_rest(const ShardSet& other);
  void remove_rest(const ShardSet& other);

  uint64_t first_ = 0;
  std::unique_ptr<Rest> rest_;  // null: it has none of these
};

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
  const auto visit_word = [&](uint64_t word, size_t from) {
    for (; word != 0; word &= word - 1) {
      visit(static_cast<int>(from) + std::countr_zero(word));
    }
  };
  visit_word(set.first_, 0);
  if (set.rest_ == nullptr) return;
  for (size_t i = 0; i < set.rest_->size(); ++i) {
    visit_word((*set.rest_)[i], (i + 1) * ShardSet::kBits);
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
