// Where in a RowStore the row of a key is: a hash table with open addressing, linear probing.
//
// An entry is 8 bytes: the row's number and 32 bits of the key's hash. The place of an entry is
// made of the same bits, so that a larger table is filled from the smaller one alone, without a
// look at the rows. That happens little by little, with each entry that comes: meanwhile there are
// two tables, and nobody waits. Keys are compared in the rows, which are needed next anyhow.
//
// One thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "ps/table/row_store.h"

namespace trireme::ps {

class RowIndex {
 public:
  RowIndex();

  static uint32_t hash(int64_t key);

  void prefetch(uint32_t hash) const {
    __builtin_prefetch(&now_.entries[now_.home(hash)]);
    if (before_.entries != nullptr) __builtin_prefetch(&before_.entries[before_.home(hash)]);
  }
  // The first row with this hash, which most probably is the key's; kNoRow: the key has none.
  uint32_t candidate(uint32_t hash) const {
    const uint32_t row = now_.candidate(hash);
    return row != kNoRow || before_.entries == nullptr ? row : before_.candidate(hash);
  }
  uint32_t find(int64_t key, uint32_t hash, const RowStore& store) const;

  // Makes room for so many more. After it, add() does not throw.
  void reserve(int64_t more);
  // REQUIRES: room, and the key is not there.
  void add(uint32_t hash, uint32_t row);
  // REQUIRES: `row` is there.
  void remove(uint32_t hash, uint32_t row);

  int64_t bytes() const { return now_.bytes() + before_.bytes(); }
  int64_t growth(int64_t more) const;  // bytes of a reserve(more)

 private:
  struct Free {
    void operator()(uint64_t* entries) const { std::free(entries); }
  };
  struct Places {
    std::unique_ptr<uint64_t[], Free> entries;  // hash << 32 | row + 1; 0: empty
    unsigned shift = 32;                        // of a hash, to its place
    uint32_t mask = 0;

    Places() = default;
    explicit Places(unsigned bits);  // 2^bits, empty
    uint64_t count() const { return uint64_t{mask} + 1; }
    uint32_t home(uint64_t hash) const { return static_cast<uint32_t>(hash >> shift); }
    uint32_t candidate(uint32_t hash) const {
      for (uint32_t place = home(hash);; place = (place + 1) & mask) {
        const uint64_t entry = entries[place];
        if (entry == 0) return kNoRow;
        if (entry >> 32 == hash) return static_cast<uint32_t>(entry) - 1;
      }
    }
    uint32_t find(int64_t key, uint32_t hash, const RowStore& store) const;
    void add(uint64_t entry);
    bool remove(uint64_t entry);  // false: it is not there
    int64_t bytes() const {
      return entries == nullptr ? 0 : static_cast<int64_t>(count() * sizeof(uint64_t));
    }
  };

  // At most three quarters are in use: then a search looks at about two and a half places.
  static bool has_room(uint64_t places, int64_t count) {
    return static_cast<uint64_t>(count) <= places / 4 * 3;
  }
  void move(uint64_t places);

  Places now_;
  Places before_;           // empty: all of its entries are in now_
  uint32_t next_move_ = 0;  // the place in before_ that is moved next
  uint64_t left_ = 0;       // places there that are not moved yet
  int64_t count_ = 0;       // entries in both
};

}  // namespace trireme::ps
