#include "ps/table/row_table.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace trireme::ps {

void RowTable::find(std::span<const int64_t> keys, uint32_t* rows) const {
  // Three passes over a few keys: each asks for what the next one needs.
  constexpr size_t kKeys = 32;
  std::array<uint32_t, kKeys> hashes;
  for (size_t begin = 0; begin < keys.size(); begin += kKeys) {
    const size_t n = std::min(kKeys, keys.size() - begin);
    for (size_t i = 0; i < n; ++i) {
      hashes[i] = RowIndex::hash(keys[begin + i]);
      index_.prefetch(hashes[i]);
    }
    for (size_t i = 0; i < n; ++i) {
      const uint32_t row = index_.candidate(hashes[i]);
      rows[begin + i] = row;
      if (row != kNoRow) __builtin_prefetch(store_->at(row), 1);
    }
    for (size_t i = 0; i < n; ++i) {
      uint32_t& row = rows[begin + i];
      if (row == kNoRow || store_->header(row).key == keys[begin + i]) continue;
      row = index_.find(keys[begin + i], hashes[i], *store_);
    }
  }
}

uint32_t RowTable::add(int64_t key) {
  TRIREME_CHECK(key >= 0, "key ", key);
  index_.reserve(1);  // it may throw: first
  const uint32_t row = store_->add(key);
  index_.add(RowIndex::hash(key), row);
  return row;
}

void RowTable::remove(uint32_t row) {
  index_.remove(RowIndex::hash(store_->header(row).key), row);
  store_->remove(row);
}

void RowTable::clear() {
  former_ = store_;
  store_ = std::make_shared<RowStore>(floats_);
  index_ = RowIndex();
}

}  // namespace trireme::ps
