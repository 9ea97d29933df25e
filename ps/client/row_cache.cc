#include "ps/client/row_cache.h"

#include <algorithm>

namespace trireme::ps {
namespace {

// Of an entry of the map, besides its values.
constexpr size_t kEntryBytes = 64;

}  // namespace

RowCache::RowCache(int staleness, size_t most_bytes)
    : staleness_(staleness), most_bytes_(most_bytes / 2) {}

std::vector<uint32_t> RowCache::find(int table, int64_t dim, std::span<const int64_t> keys,
                                     int64_t step, float* rows) {
  const auto width = static_cast<size_t>(dim);
  std::vector<uint32_t> missing;
  MutexLock lock(mutex_);
  const Table& all = tables_[table];
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto copy_from = [&](const Generation& generation) {
      const auto found = generation.rows.find(keys[i]);
      // One that was pulled for a later step is no older than it may be.
      if (found == generation.rows.end() || step - found->second.step > staleness_) return false;
      std::copy_n(generation.values.begin() + static_cast<int64_t>(found->second.begin), width,
                  rows + i * width);
      return true;
    };
    if (!copy_from(all.young) && !copy_from(all.old)) missing.push_back(static_cast<uint32_t>(i));
  }
  return missing;
}

void RowCache::add(int table, int64_t dim, std::span<const int64_t> keys,
                   std::span<const uint32_t> places, int64_t step, const float* rows) {
  const auto width = static_cast<size_t>(dim);
  MutexLock lock(mutex_);
  Table& all = tables_[table];
  for (const uint32_t place : places) {
    const size_t bytes = all.young.rows.size() * (kEntryBytes + width * sizeof(float));
    if (bytes > most_bytes_) {
      all.old = std::move(all.young);
      all.young = {};
    }
    Generation& young = all.young;
    const auto [row, is_new] =
        young.rows.try_emplace(keys[place], Row{.step = step, .begin = young.values.size()});
    if (is_new) young.values.resize(young.values.size() + width);
    // Answers may overtake each other.
    if (!is_new && row->second.step > step) continue;
    row->second.step = step;
    std::copy_n(rows + place * width, width,
                young.values.begin() + static_cast<int64_t>(row->second.begin));
  }
}

}  // namespace trireme::ps
