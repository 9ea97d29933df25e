// Rows of one length, each in a place that it keeps, and what they were at a cut while their owner
// goes on changing them.
//
// A row is a RowHeader and then floats, in one piece. Rows lie in chunks of about a page, chunks in
// slabs that grow with the store: there is no allocation for a row, and a small store is small.
// Rows that go leave a free place for those that come.
//
// A chunk that is about to change for the first time after a cut is copied. The owner's thread
// changes rows; one other thread may read a cut meanwhile. All that both touch is guarded by the
// cut's mutex, which the owner takes only to copy a chunk or to add one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/thread_annotations.h"
#include "core/tensor/buffer.h"

namespace trireme::ps {

struct RowHeader {
  int64_t key;      // kFreeRow: nobody's
  int64_t version;  // of nobody's: the number of the next such row
  int64_t frequency;
};

inline constexpr int64_t kFreeRow = -1;
inline constexpr uint32_t kNoRow = UINT32_MAX;

class RowCut;

class RowStore {
 public:
  // `floats`: that follow the header.
  explicit RowStore(int64_t floats);
  RowStore(const RowStore&) = delete;

  std::byte* at(uint32_t row) const {
    return chunks_[row >> shift_] + static_cast<size_t>(row & mask_) * stride_;
  }
  RowHeader& header(uint32_t row) const { return *reinterpret_cast<RowHeader*>(at(row)); }
  float* values(uint32_t row) const {
    return reinterpret_cast<float*>(at(row) + sizeof(RowHeader));
  }

  // A place for a row; its floats are whatever was there. Throws Error{kResourceExhausted}, having
  // changed nothing, when there are as many rows as numbers, or no memory.
  uint32_t add(int64_t key);
  void remove(uint32_t row);
  // REQUIRED before a row that was there at a cut changes.
  void before_write(uint32_t row) {
    if (cut_ && saved_[row >> shift_].cut != cut_id_) save(row >> shift_);
  }
  // Whether before_write() has anything to do, at all; to be asked once in a while, since it also
  // notices that a cut was closed.
  bool has_cut();

  size_t row_bytes() const { return stride_; }
  int64_t rows() const { return int64_t{end_} - free_rows_; }
  uint32_t end() const { return end_; }  // all rows have smaller numbers
  int64_t bytes() const;
  // Upper bound of the bytes that so many more rows, and changes of so many others, would add.
  int64_t growth(int64_t more, int64_t changed) const;

  // REQUIRES: no cut is open. `store` is this; the cut keeps it alive.
  static std::shared_ptr<RowCut> open_cut(const std::shared_ptr<RowStore>& store);

 private:
  friend class RowCut;
  struct Saved {
    const std::byte* copy = nullptr;
    uint64_t cut = 0;  // that the copy is for
  };
  // What owner and reader share.
  struct Cut {
    std::atomic<bool> closed{false};
    std::atomic<int64_t> copied{0};  // bytes of chunks
    std::atomic<int64_t> listed{0};  // bytes of what sorted() gave
    mutable Mutex mutex;
    std::vector<std::unique_ptr<std::byte[]>> copies GUARDED_BY(mutex);
  };

  size_t chunk_bytes() const { return (size_t{mask_} + 1) * stride_; }
  size_t next_slab_chunks() const;
  void add_slab();
  void add_chunk();
  void save(size_t chunk);
  const Cut* current_cut() const { return cut_ && !cut_->closed ? cut_.get() : nullptr; }

  size_t stride_;
  unsigned shift_ = 0;  // rows of a chunk, as a power of two
  uint32_t mask_ = 0;
  uint32_t end_ = 0;
  uint32_t first_free_ = kNoRow;
  int64_t free_rows_ = 0;
  std::vector<std::shared_ptr<Buffer>> slabs_;
  std::byte* slab_next_ = nullptr;  // where the next chunk begins, if any is left
  size_t slab_left_ = 0;            // chunks
  int64_t slab_bytes_ = 0;
  // The owner reads them at any time, and changes them under the mutex of an open cut.
  std::vector<std::byte*> chunks_;
  std::vector<Saved> saved_;
  std::shared_ptr<Cut> cut_;
  uint64_t cut_id_ = 0;
};

// The rows of a store as they were when it was opened. Its destructor closes it. One thread at a
// time, any.
class RowCut {
 public:
  struct Entry {
    int64_t key;
    uint32_t row;
  };

  RowCut(std::shared_ptr<RowStore> store, std::shared_ptr<RowStore::Cut> shared);
  ~RowCut();
  RowCut(const RowCut&) = delete;

  int64_t rows() const { return rows_; }
  // All rows by key; counted as memory of the store until the cut is closed. Takes the time of a
  // pass over the rows.
  std::vector<Entry> sorted() const;
  // Copies rows, one behind the other, into `out`; those whose version is not greater than
  // `changed_since` are left out. Returns how many it copied. Owner and readers wait for each other
  // meanwhile: ask for few.
  size_t read(std::span<const Entry> entries, int64_t changed_since, std::byte* out) const;
  size_t row_bytes() const { return store_->row_bytes(); }

 private:
  const std::byte* at(uint32_t row) const;

  const std::shared_ptr<RowStore> store_;
  const std::shared_ptr<RowStore::Cut> shared_;
  const uint64_t id_;
  const uint32_t end_;
  const int64_t rows_;
};

}  // namespace trireme::ps
