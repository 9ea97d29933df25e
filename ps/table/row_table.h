// Rows that are found by their keys: a RowStore and its RowIndex.
//
// One thread, except for what RowStore says of its cuts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ps/table/row_index.h"
#include "ps/table/row_store.h"

namespace trireme::ps {

class RowTable {
 public:
  explicit RowTable(int64_t floats) : floats_(floats) { clear(); }

  RowStore& store() { return *store_; }
  const RowStore& store() const { return *store_; }
  int64_t rows() const { return store_->rows(); }
  // A cut may keep the rows from before clear().
  int64_t bytes() const {
    const auto former = former_.lock();
    return store_->bytes() + index_.bytes() + (former ? former->bytes() : 0);
  }

  // rows[i]: of keys[i], or kNoRow. Many at a time: the memory answers several questions at once.
  void find(std::span<const int64_t> keys, uint32_t* rows) const;
  uint32_t find(int64_t key) const { return index_.find(key, RowIndex::hash(key), *store_); }
  // REQUIRES: the key has none. Its floats are whatever was there.
  uint32_t add(int64_t key);
  void remove(uint32_t row);
  // All rows go. A cut that is open keeps the old ones.
  void clear();

  int64_t growth(int64_t more, int64_t changed) const {
    return store_->growth(more, changed) + index_.growth(more);
  }
  std::shared_ptr<RowCut> open_cut() { return RowStore::open_cut(store_); }

  // Calls visit(row) for each row, in no order. `visit` may remove that row.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (uint32_t row = 0; row < store_->end(); ++row) {
      if (store_->header(row).key != kFreeRow) visit(row);
    }
  }

 private:
  int64_t floats_;
  std::shared_ptr<RowStore> store_;
  std::weak_ptr<RowStore> former_;
  RowIndex index_;
};

}  // namespace trireme::ps
