#include "ps/table/row_store.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

// A cut copies whole chunks: small ones waste less where the pushes touch few rows of each.
constexpr size_t kChunkBytes = size_t{4} << 10;
// Large enough for pages of 2 MiB, see allocate_host().
constexpr size_t kSlabBytes = size_t{4} << 20;

}  // namespace

RowStore::RowStore(int64_t floats)
    : stride_((sizeof(RowHeader) + static_cast<size_t>(floats) * sizeof(float) + 7) / 8 * 8) {
  const auto rows = std::bit_floor(std::max<size_t>(1, kChunkBytes / stride_));
  shift_ = static_cast<unsigned>(std::countr_zero(rows));
  mask_ = static_cast<uint32_t>(rows - 1);
}

// A quarter of what is there: at most that much lies idle.
size_t RowStore::next_slab_chunks() const {
  const size_t most = std::max<size_t>(1, kSlabBytes / chunk_bytes());
  return std::clamp<size_t>(chunks_.size() / 4, 1, most);
}

void RowStore::add_slab() {
  const size_t chunks = next_slab_chunks();
  std::shared_ptr<Buffer> slab = allocate_host(chunks * chunk_bytes());
  // The lists grow here only, where growth() foresees it.
  if (const size_t size = chunks_.size() + chunks; size > chunks_.capacity()) {
    chunks_.reserve(2 * size);
    saved_.reserve(2 * size);
  }
  slab_next_ = static_cast<std::byte*>(slab->data());
  slab_left_ = chunks;
  slab_bytes_ += static_cast<int64_t>(chunks * chunk_bytes());
  slabs_.push_back(std::move(slab));
}

void RowStore::add_chunk() {
  const auto add = [&] {
    if (slab_left_ == 0) add_slab();
    chunks_.push_back(slab_next_);
    saved_.push_back({nullptr, cut_id_});  // it holds nothing of an open cut
  };
  if (cut_) {
    const MutexLock lock(cut_->mutex);
    add();
  } else {
    add();
  }
  slab_next_ += chunk_bytes();
  --slab_left_;
}

uint32_t RowStore::add(int64_t key) {
  uint32_t row;
  if (first_free_ != kNoRow) {
    row = first_free_;
    before_write(row);
    first_free_ = static_cast<uint32_t>(header(row).version);
    --free_rows_;
  } else {
    if (end_ >= kNoRow - mask_ - 1) {
      throw Error(ErrorCode::kResourceExhausted,
                  str_cat("a shard of a table holds at most ", end_,
                          " rows; use more virtual shards, or an eviction policy"));
    }
    if ((end_ & mask_) == 0 && (end_ >> shift_) == chunks_.size()) add_chunk();
    row = end_;
    before_write(row);
    ++end_;
  }
  header(row) = {key, 0, 0};
  return row;
}

void RowStore::remove(uint32_t row) {
  before_write(row);
  header(row) = {kFreeRow, first_free_, 0};
  first_free_ = row;
  ++free_rows_;
}

bool RowStore::has_cut() {
  // Acquire: the reader's last look at a chunk lies before what is written to it from here on.
  if (cut_ && cut_->closed.load(std::memory_order_acquire)) cut_.reset();
  return cut_ != nullptr;
}

void RowStore::save(size_t chunk) {
  std::unique_ptr<std::byte[]> copy(new std::byte[chunk_bytes()]);
  const MutexLock lock(cut_->mutex);
  std::memcpy(copy.get(), chunks_[chunk], chunk_bytes());
  saved_[chunk] = {copy.get(), cut_id_};
  cut_->copies.push_back(std::move(copy));
  cut_->copied.fetch_add(static_cast<int64_t>(chunk_bytes()), std::memory_order_relaxed);
}

int64_t RowStore::bytes() const {
  const size_t lists = chunks_.capacity() * sizeof(void*) + saved_.capacity() * sizeof(Saved);
  const Cut* const cut = current_cut();
  return slab_bytes_ + static_cast<int64_t>(lists) +
         (cut == nullptr ? 0 : cut->copied.load() + cut->listed.load());
}

int64_t RowStore::growth(int64_t more, int64_t changed) const {
  const auto in_chunk = static_cast<int64_t>(mask_) + 1;
  const int64_t room = free_rows_ + static_cast<int64_t>(slab_left_) * in_chunk +
                       (static_cast<int64_t>(chunks_.size()) * in_chunk - end_);
  int64_t bytes = 0;
  if (more > room) {
    // A slab may come that is larger than needed, and then the lists of chunks double.
    const int64_t chunks = (more - room + in_chunk - 1) / in_chunk;
    const int64_t all = chunks + static_cast<int64_t>(chunks_.size());
    const auto chunk = static_cast<int64_t>(chunk_bytes());
    bytes += (chunks + all / 4 + 1) * chunk;
    bytes += 2 * (all + all / 4 + 1) * static_cast<int64_t>(sizeof(void*) + sizeof(Saved));
  }
  if (const Cut* const cut = current_cut(); cut != nullptr) {
    const auto chunk = static_cast<int64_t>(chunk_bytes());
    const int64_t unsaved = static_cast<int64_t>(chunks_.size()) - cut->copied.load() / chunk;
    bytes += std::min(more + changed, unsaved) * chunk;
  }
  return bytes;
}

std::shared_ptr<RowCut> RowStore::open_cut(const std::shared_ptr<RowStore>& store) {
  TRIREME_CHECK(!store->has_cut(), "a second cut of a store");
  store->cut_ = std::make_shared<Cut>();
  ++store->cut_id_;
  return std::make_shared<RowCut>(store, store->cut_);
}

RowCut::RowCut(std::shared_ptr<RowStore> store, std::shared_ptr<RowStore::Cut> shared)
    : store_(std::move(store)),
      shared_(std::move(shared)),
      id_(store_->cut_id_),
      end_(store_->end_),
      rows_(store_->rows()) {}

RowCut::~RowCut() {
  std::vector<std::unique_ptr<std::byte[]>> copies;  // freed when nobody waits for the mutex
  {
    const MutexLock lock(shared_->mutex);
    copies.swap(shared_->copies);
  }
  shared_->closed.store(true, std::memory_order_release);
}

const std::byte* RowCut::at(uint32_t row) const {
  const size_t chunk = row >> store_->shift_;
  const RowStore::Saved& saved = store_->saved_[chunk];
  const std::byte* const begin = saved.cut == id_ ? saved.copy : store_->chunks_[chunk];
  return begin + static_cast<size_t>(row & store_->mask_) * store_->stride_;
}

std::vector<RowCut::Entry> RowCut::sorted() const {
  std::vector<Entry> entries;
  entries.reserve(static_cast<size_t>(rows_));
  constexpr uint32_t kRows = 256;  // between two waits of the owner
  for (uint32_t begin = 0; begin < end_;) {
    const uint32_t end = std::min(end_ - begin, kRows) + begin;
    const MutexLock lock(shared_->mutex);
    for (uint32_t row = begin; row < end; ++row) {
      const int64_t key = reinterpret_cast<const RowHeader*>(at(row))->key;
      if (key != kFreeRow) entries.push_back({key, row});
    }
    begin = end;
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.key < b.key; });
  shared_->listed = static_cast<int64_t>(entries.capacity() * sizeof(Entry));
  return entries;
}

size_t RowCut::read(std::span<const Entry> entries, int64_t changed_since, std::byte* out) const {
  size_t copied = 0;
  const MutexLock lock(shared_->mutex);
  for (const Entry& entry : entries) {
    const std::byte* const from = at(entry.row);
    if (reinterpret_cast<const RowHeader*>(from)->version <= changed_since) continue;
    std::memcpy(out + copied++ * row_bytes(), from, row_bytes());
  }
  return copied;
}

}  // namespace trireme::ps
