#include "ps/server/key_cache.h"

#include <algorithm>

namespace trireme::ps {

const ResolvedList::Range* ResolvedList::range_of(int shard) const {
  const auto it = std::ranges::lower_bound(ranges, shard, {}, &Range::shard);
  return it == ranges.end() || it->shard != shard ? nullptr : &*it;
}

size_t ResolvedList::bytes() const {
  return sizeof(*this) + keys.size() * (sizeof(int64_t) + sizeof(uint32_t)) +
         ranges.size() * sizeof(Range);
}

std::shared_ptr<const ResolvedList> resolve_list(int table, uint64_t id,
                                                 std::span<const int64_t> keys,
                                                 const ShardMap& shards) {
  auto list = std::make_shared<ResolvedList>();
  list->id = id;
  list->table = table;
  list->keys.assign(keys.begin(), keys.end());
  // Keys of a shard lie together, so a few halvings find each border.
  for (auto begin = list->keys.begin(); begin != list->keys.end();) {
    const int shard = shards.shard_of(table, *begin);
    const auto end = std::partition_point(
        begin, list->keys.end(), [&](int64_t key) { return shards.shard_of(table, key) <= shard; });
    list->shards.set(static_cast<size_t>(shard));
    list->ranges.push_back(
        {.shard = shard, .begin = begin - list->keys.begin(), .end = end - list->keys.begin()});
    begin = end;
  }
  return list;
}

std::shared_ptr<const ResolvedList> KeyCache::find(uint64_t list_id) {
  MutexLock lock(mutex_);
  const auto it = places_.find(list_id);
  if (it == places_.end()) return nullptr;
  lists_.splice(lists_.begin(), lists_, it->second);
  return lists_.front();
}

std::shared_ptr<const ResolvedList> KeyCache::add(const SectionHeader& header,
                                                  std::span<const int64_t> keys,
                                                  const ShardMap& shards) {
  if (auto known = find(header.list_id)) {
    if (known->table == static_cast<int>(header.table) && std::ranges::equal(known->keys, keys)) {
      return known;
    }
    throw invalid_argument("table ", header.table, ": the id of this list of ", keys.size(),
                           " keys is that of another one, of ", known->keys.size(),
                           " keys of table ", known->table);
  }
  auto list = resolve_list(static_cast<int>(header.table), header.list_id, keys, shards);
  Lists old;  // freed after the lock
  MutexLock lock(mutex_);
  if (const auto it = places_.find(list->id); it != places_.end()) return *it->second;
  lists_.push_front(list);
  places_[list->id] = lists_.begin();
  bytes_ += list->bytes();
  while (bytes_ > most_bytes_ && lists_.size() > 1) {
    bytes_ -= lists_.back()->bytes();
    places_.erase(lists_.back()->id);
    old.splice(old.begin(), lists_, std::prev(lists_.end()));
  }
  return list;
}

void KeyCache::clear() {
  MutexLock lock(mutex_);
  places_.clear();
  lists_.clear();
  bytes_ = 0;
}

}  // namespace trireme::ps
