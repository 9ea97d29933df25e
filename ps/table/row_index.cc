#include "ps/table/row_index.h"

#include <cstring>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

constexpr unsigned kFirstBits = 4;

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

RowIndex::RowIndex() { allocate(kFirstBits); }

void RowIndex::allocate(unsigned bits) {
  const size_t places = size_t{1} << bits;
  std::shared_ptr<Buffer> buffer = allocate_host(places * sizeof(uint64_t));
  std::memset(buffer->data(), 0, buffer->bytes());
  buffer_ = std::move(buffer);
  entries_ = static_cast<uint64_t*>(buffer_->data());
  shift_ = 32 - bits;
  mask_ = static_cast<uint32_t>(places - 1);
}

void RowIndex::place(uint64_t entry) {
  uint32_t at = static_cast<uint32_t>(entry >> 32) >> shift_;
  while (entries_[at] != 0) at = (at + 1) & mask_;
  entries_[at] = entry;
}

uint32_t RowIndex::find(int64_t key, uint32_t hash, const RowStore& store) const {
  for (uint32_t at = hash >> shift_;; at = (at + 1) & mask_) {
    const uint64_t entry = entries_[at];
    if (entry == 0) return kNoRow;
    const uint32_t row = static_cast<uint32_t>(entry) - 1;
    if (entry >> 32 == hash && store.header(row).key == key) return row;
  }
}

void RowIndex::reserve(int64_t more) {
  const uint64_t places = uint64_t{mask_} + 1;
  if (has_room(places, count_ + more)) return;
  unsigned bits = 32 - shift_;
  while (bits < 32 && !has_room(uint64_t{1} << bits, count_ + more)) ++bits;
  TRIREME_CHECK(has_room(uint64_t{1} << bits, count_ + more), count_, " rows in an index");
  const std::shared_ptr<Buffer> old = buffer_;
  const uint64_t* const entries = entries_;
  allocate(bits);
  for (uint64_t i = 0; i < places; ++i) {
    if (entries[i] != 0) place(entries[i]);
  }
}

void RowIndex::add(uint32_t hash, uint32_t row) {
  place(uint64_t{hash} << 32 | (row + 1));
  ++count_;
}

void RowIndex::remove(uint32_t hash, uint32_t row) {
  const uint64_t entry = uint64_t{hash} << 32 | (row + 1);
  uint32_t hole = hash >> shift_;
  while (entries_[hole] != entry) hole = (hole + 1) & mask_;
  // No marks of what was removed: later entries move up where their search would meet the hole.
  for (uint32_t at = (hole + 1) & mask_; entries_[at] != 0; at = (at + 1) & mask_) {
    const uint32_t home = static_cast<uint32_t>(entries_[at] >> 32) >> shift_;
    if (((at - home) & mask_) >= ((at - hole) & mask_)) {
      entries_[hole] = entries_[at];
      hole = at;
    }
  }
  entries_[hole] = 0;
  --count_;
}

int64_t RowIndex::growth(int64_t more) const {
  uint64_t places = uint64_t{mask_} + 1;
  if (has_room(places, count_ + more)) return 0;
  while (!has_room(places, count_ + more)) places *= 2;
  return static_cast<int64_t>(places * sizeof(uint64_t));  // beside the old one, for a while
}

}  // namespace trireme::ps
