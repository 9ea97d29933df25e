// The lists of keys that a slot has seen, with where their rows are, so that a list that comes
// again is neither sent nor looked up again.
//
// KeyCache: any thread. A list's resolutions: each by the thread that owns its range's shard.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/thread_annotations.h"
#include "ps/protocol/wire.h"
#include "ps/table/shard_set.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

struct ResolvedList {
  uint64_t id = 0;
  int table = 0;
  std::vector<int64_t> keys;
  ShardSet shards;
  struct Range {
    int shard = 0;
    int64_t begin = 0, end = 0;
    mutable Resolution resolution;

    size_t count() const { return static_cast<size_t>(end - begin); }
  };
  std::vector<Range> ranges;  // in the order of their shards

  // Null: no key is in this shard.
  const Range* range_of(int shard) const;
  std::span<const int64_t> keys_of(const Range& range) const {
    return std::span(keys).subspan(static_cast<size_t>(range.begin), range.count());
  }
  size_t bytes() const;  // resolutions included, as if they were there
};

// REQUIRES: `keys` in wire order.
std::shared_ptr<const ResolvedList> resolve_list(int table, uint64_t id,
                                                 std::span<const int64_t> keys,
                                                 const ShardMap& shards);

class KeyCache {
 public:
  // `list_id` hashes all keys, so that a list is the same whoever sent it.
  explicit KeyCache(size_t most_bytes) : most_bytes_(most_bytes) {}

  // Null: not there.
  std::shared_ptr<const ResolvedList> find(uint64_t list_id) EXCLUDES(mutex_);
  // The list of a section: one that is there, or a copy that from now on is.
  std::shared_ptr<const ResolvedList> add(const SectionHeader& header,
                                          std::span<const int64_t> keys, const ShardMap& shards)
      EXCLUDES(mutex_);
  void clear() EXCLUDES(mutex_);

 private:
  using Lists = std::list<std::shared_ptr<const ResolvedList>>;  // the last used first

  const size_t most_bytes_;
  Mutex mutex_;
  Lists lists_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, Lists::iterator> places_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace trireme::ps
