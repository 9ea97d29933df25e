#include "ps/table/row_index.h"

#include <sys/mman.h>

#include <utility>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

constexpr unsigned kFirstBits = 4;
// Places that one new entry moves. Twice as many places take at least 3/4 · 2^bits new entries
// before they are full in turn, so that this is ready long before.
constexpr uint64_t kMovesPerAdd = 16;

// Zeroes that cost nothing until they are touched, where they are many.
uint64_t* zeroes(size_t count) {
  const size_t bytes = count * sizeof(uint64_t);
  auto* const data = static_cast<uint64_t*>(std::calloc(count, sizeof(uint64_t)));
  if (data == nullptr) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("out of memory: asked for ", bytes, " bytes for the index of a table"));
  }
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const auto begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  // A hint, as in allocate_host(): a search that jumps about misses the address cache less.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  return data;
}

}  // namespace

// Both halves of a product with 64 bits of the golden ratio, folded: every bit of the key reaches
// the high ones, which make the place. (ShardMap's hash is another one: the keys of one shard are
// alike in that.)
uint32_t RowIndex::hash(int64_t key) {
  __extension__ using Wide = unsigned __int128;
  const Wide product =
      static_cast<Wide>(static_cast<uint64_t>(key) ^ 0x2545f4914f6cdd1dull) * 0x9e3779b97f4a7c15ull;
  return static_cast<uint32_t>(
      (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) >> 32);
}

RowIndex::Places::Places(unsigned bits)
    : entries(zeroes(size_t{1} << bits)),
      shift(32 - bits),
      mask(static_cast<uint32_t>((uint64_t{1} << bits) - 1)) {}

uint32_t RowIndex::Places::find(int64_t key, uint32_t hash, const RowStore& store) const {
  for (uint32_t place = home(hash);; place = (place + 1) & mask) {
    const uint64_t entry = entries[place];
    if (entry == 0) return kNoRow;
    const uint32_t row = static_cast<uint32_t>(entry) - 1;
    if (entry >> 32 == hash && store.header(row).key == key) return row;
  }
}

void RowIndex::Places::add(uint64_t entry) {
  uint32_t place = home(entry >> 32);
  while (entries[place] != 0) place = (place + 1) & mask;
  entries[place] = entry;
}

bool RowIndex::Places::remove(uint64_t entry) {
  uint32_t hole = home(entry >> 32);
  while (entries[hole] != entry) {
    if (entries[hole] == 0) return false;
    hole = (hole + 1) & mask;
  }
  // No marks of what was removed: later entries move up where their search would meet the hole.
  for (uint32_t place = (hole + 1) & mask; entries[place] != 0; place = (place + 1) & mask) {
    const uint32_t from_home = (place - home(entries[place] >> 32)) & mask;
    if (from_home >= ((place - hole) & mask)) {
      entries[hole] = entries[place];
      hole = place;
    }
  }
  entries[hole] = 0;
  return true;
}

RowIndex::RowIndex() : now_(kFirstBits) {}

uint32_t RowIndex::find(int64_t key, uint32_t hash, const RowStore& store) const {
  const uint32_t row = now_.find(key, hash, store);
  return row != kNoRow || before_.entries == nullptr ? row : before_.find(key, hash, store);
}

void RowIndex::reserve(int64_t more) {
  if (has_room(now_.count(), count_ + more)) return;
  unsigned bits = 32 - now_.shift;
  while (bits < 32 && !has_room(uint64_t{1} << bits, count_ + more)) ++bits;
  TRIREME_CHECK(has_room(uint64_t{1} << bits, count_ + more), count_, " rows in an index");
  Places larger(bits);
  move(left_);
  before_ = std::exchange(now_, std::move(larger));
  left_ = before_.count();
  next_move_ = 0;
  // Not from within a run of entries that goes over the end: runs are moved as a whole.
  while (before_.entries[next_move_] != 0) ++next_move_;
}

// Whole runs of entries: a search among those that are left meets an empty place where it would
// have met one before.
void RowIndex::move(uint64_t places) {
  for (uint64_t moved = 0; left_ > 0; ++moved) {
    uint64_t& entry = before_.entries[next_move_];
    if (entry == 0 && moved >= places) return;
    if (entry != 0) now_.add(std::exchange(entry, 0));
    next_move_ = (next_move_ + 1) & before_.mask;
    --left_;
  }
  before_ = Places();
}

void RowIndex::add(uint32_t hash, uint32_t row) {
  if (left_ > 0) move(kMovesPerAdd);
  now_.add(uint64_t{hash} << 32 | (row + 1));
  ++count_;
}

void RowIndex::remove(uint32_t hash, uint32_t row) {
  const uint64_t entry = uint64_t{hash} << 32 | (row + 1);
  if (!now_.remove(entry)) {
    TRIREME_CHECK(before_.entries != nullptr && before_.remove(entry), "row ", row,
                  " is not in the index");
  }
  --count_;
}

int64_t RowIndex::growth(int64_t more) const {
  uint64_t places = now_.count();
  if (has_room(places, count_ + more)) return 0;
  while (!has_room(places, count_ + more)) places *= 2;
  return static_cast<int64_t>(places * sizeof(uint64_t));  // beside the old one, for a while
}

}  // namespace trireme::ps
