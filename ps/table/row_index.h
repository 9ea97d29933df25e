// Where in a RowStore the row of a key is: a hash table with open addressing, linear probing.
//
// An entry is 8 bytes: the row's number and 32 bits of the key's hash. The place of an entry is
// made of the same bits, so that a larger table is filled from the smaller one alone, in order,
// without a look at the rows. Keys are compared in the rows, which are needed next anyhow.
//
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/tensor/buffer.h"
#include "ps/table/row_store.h"

namespace trireme::ps {

class RowIndex {
 public:
  RowIndex();

  static uint32_t hash(int64_t key);

  void prefetch(uint32_t hash) const { __builtin_prefetch(entries_ + (hash >> shift_)); }
  // The first row with this hash, which most probably is the key's; kNoRow: the key has none.
  uint32_t candidate(uint32_t hash) const {
    for (uint32_t place = hash >> shift_;; place = (place + 1) & mask_) {
      const uint64_t entry = entries_[place];
      if (entry == 0) return kNoRow;
      if (entry >> 32 == hash) return static_cast<uint32_t>(entry) - 1;
    }
  }
  uint32_t find(int64_t key, uint32_t hash, const RowStore& store) const;

  // Makes room for so many more. After it, add() does not throw.
  void reserve(int64_t more);
  // REQUIRES: room, and the key is not there.
  void add(uint32_t hash, uint32_t row);
  // REQUIRES: `row` is there.
  void remove(uint32_t hash, uint32_t row);

  int64_t bytes() const { return static_cast<int64_t>(buffer_->bytes()); }
  int64_t growth(int64_t more) const;  // bytes of a reserve(more)

 private:
  // At most three quarters are in use: then a search looks at about two and a half places.
  static bool has_room(uint64_t places, int64_t count) {
    return static_cast<uint64_t>(count) <= places / 4 * 3;
  }
  void allocate(unsigned bits);
  void place(uint64_t entry);

  std::shared_ptr<Buffer> buffer_;
  uint64_t* entries_ = nullptr;  // hash << 32 | row + 1; 0: empty
  unsigned shift_ = 0;           // of a hash, to its place
  uint32_t mask_ = 0;
  int64_t count_ = 0;
};

}  // namespace trireme::ps
