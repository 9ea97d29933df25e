#include "core/device/cuda/memory.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

constexpr size_t kMebibyte = size_t{1} << 20;
constexpr size_t kPieceAlignment = 512;
constexpr size_t kBlockGranule = 2 * kMebibyte;  // what the driver maps at least
constexpr size_t kSmallBlock = 32 * kMebibyte;   // small pieces share blocks of this size

size_t round_up(size_t bytes, size_t granule) { return (bytes + granule - 1) / granule * granule; }

std::string mebibytes(size_t bytes) { return str_cat((bytes + kMebibyte / 2) / kMebibyte, " MiB"); }

// Which card an address belongs to: copies between two cards name both contexts.
class AddressMap {
 public:
  void add(uintptr_t begin, size_t bytes, CUcontext context) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    regions_[begin] = {bytes, context};
  }
  void remove(uintptr_t begin) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    regions_.erase(begin);
  }
  CUcontext find(uintptr_t address) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    auto it = regions_.upper_bound(address);
    if (it == regions_.begin()) return nullptr;
    --it;
    return address < it->first + it->second.first ? it->second.second : nullptr;
  }

 private:
  Mutex mutex_;
  std::map<uintptr_t, std::pair<size_t, CUcontext>> regions_ GUARDED_BY(mutex_);
};

// Addresses belong to the process, as the driver gives them out.
AddressMap& address_map() {
  // Never destroyed: the last device may end after everything static.
  static AddressMap& map = *new AddressMap;
  return map;
}

class DeviceBuffer : public Buffer {
 public:
  DeviceBuffer(std::shared_ptr<MemoryPool> pool, size_t bytes)
      : Buffer(pool->allocate(bytes), bytes, false), pool_(std::move(pool)) {}
  ~DeviceBuffer() override { pool_->release(data()); }

 private:
  std::shared_ptr<MemoryPool> pool_;
};

class PinnedBuffer : public Buffer {
 public:
  PinnedBuffer(std::shared_ptr<PrimaryContext> context, void* data, size_t bytes)
      : Buffer(data, bytes, true), context_(std::move(context)) {}
  ~PinnedBuffer() override {
    if (driver().cuCtxSetCurrent(context_->raw()) == CUDA_SUCCESS) driver().cuMemFreeHost(data());
  }

 private:
  std::shared_ptr<PrimaryContext> context_;
};

}  // namespace

PrimaryContext::PrimaryContext(int card) {
  check(driver().cuDeviceGet(&device_, card), str_cat("cuDeviceGet for card ", card));
  check(driver().cuDevicePrimaryCtxRetain(&context_, device_),
        str_cat("cuDevicePrimaryCtxRetain for card ", card));
}

PrimaryContext::~PrimaryContext() { driver().cuDevicePrimaryCtxRelease(device_); }

void PrimaryContext::make_current() const {
  check(driver().cuCtxSetCurrent(context_), "cuCtxSetCurrent");
}

MemoryPool::MemoryPool(std::shared_ptr<PrimaryContext> context, std::string owner,
                       size_t limit_bytes, bool growing)
    : context_(std::move(context)),
      owner_(std::move(owner)),
      limit_(limit_bytes),
      growing_(growing) {
  MutexLock lock(mutex_);
  use_.limit = limit_;
  if (growing_) return;
  const size_t bytes = limit_ / kBlockGranule * kBlockGranule;
  if (!grow(bytes)) throw_exhausted(bytes);
}

MemoryPool::~MemoryPool() {
  if (driver().cuCtxSetCurrent(context_->raw()) != CUDA_SUCCESS) return;
  for (const auto& [begin, bytes] : blocks_) {
    address_map().remove(begin);
    driver().cuMemFree(static_cast<CUdeviceptr>(begin));
  }
}

void MemoryPool::add_block(Address begin, size_t bytes) {
  blocks_[begin] = bytes;
  use_.reserved += bytes;
  address_map().add(begin, bytes, context_->raw());
  pieces_[begin] = {bytes, begin, true};
  free_.emplace(bytes, begin);
}

// A block for a piece of `bytes`; false when the limit or the card does not allow it.
bool MemoryPool::grow(size_t bytes) {
  context_->make_current();
  const size_t exact = round_up(bytes, kBlockGranule);
  for (const size_t size : {std::max(exact, growing_ ? kSmallBlock : exact), exact}) {
    if (use_.reserved + size > limit_) continue;
    CUdeviceptr begin = 0;
    const CUresult result = driver().cuMemAlloc(&begin, size);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) continue;
    check(result, str_cat("cuMemAlloc of ", mebibytes(size), " for ", owner_));
    add_block(static_cast<Address>(begin), size);
    return true;
  }
  return false;
}

void MemoryPool::give_back_free_blocks() {
  context_->make_current();
  for (auto it = blocks_.begin(); it != blocks_.end();) {
    const auto [begin, bytes] = *it;
    const auto piece = pieces_.find(begin);
    if (!piece->second.free || piece->second.bytes != bytes) {
      ++it;
      continue;
    }
    check(driver().cuMemFree(static_cast<CUdeviceptr>(begin)), "cuMemFree for " + owner_);
    address_map().remove(begin);
    free_.erase({bytes, begin});
    pieces_.erase(piece);
    use_.reserved -= bytes;
    it = blocks_.erase(it);
  }
}

void MemoryPool::throw_exhausted(size_t bytes) {
  size_t free_on_card = 0, of_card = 0;
  const bool known = driver().cuMemGetInfo(&free_on_card, &of_card) == CUDA_SUCCESS;
  const size_t largest = free_.empty() ? 0 : free_.rbegin()->first;
  throw Error(
      ErrorCode::kResourceExhausted,
      str_cat(owner_, " has no room for ", mebibytes(bytes), ": ", mebibytes(use_.in_use),
              " in use, ", mebibytes(use_.reserved), " taken from the card (largest free piece ",
              mebibytes(largest), "), limit ", mebibytes(limit_),
              known ? str_cat(", ", mebibytes(free_on_card), " of ", mebibytes(of_card),
                              " free on the card")
                    : "",
              "; use a smaller batch, --precision bf16, or raise --gpu-memory-limit"));
}

void* MemoryPool::allocate(size_t bytes) {
  const size_t size = round_up(std::max<size_t>(bytes, 1), kPieceAlignment);
  MutexLock lock(mutex_);
  auto found = free_.lower_bound({size, 0});
  if (found == free_.end() && growing_) {
    bool grown = grow(size);
    if (!grown) {
      give_back_free_blocks();  // several small holes may make room for one block
      grown = grow(size);
    }
    if (grown) found = free_.lower_bound({size, 0});
  }
  if (found == free_.end()) throw_exhausted(bytes);
  const Address at = found->second;
  free_.erase(found);
  Piece& piece = pieces_.at(at);
  piece.free = false;
  if (piece.bytes > size) {
    const Piece rest{piece.bytes - size, piece.block, true};
    piece.bytes = size;
    pieces_[at + size] = rest;
    free_.emplace(rest.bytes, at + size);
  }
  use_.in_use += size;
  use_.peak = std::max(use_.peak, use_.in_use);
  ++use_.allocations;
  return reinterpret_cast<void*>(at);
}

void MemoryPool::release(void* address) noexcept {
  MutexLock lock(mutex_);
  auto it = pieces_.find(reinterpret_cast<Address>(address));
  use_.in_use -= it->second.bytes;
  const auto joins = [&](auto left, auto right) {
    return left->second.free && right->second.free && left->second.block == right->second.block;
  };
  it->second.free = true;
  if (auto next = std::next(it); next != pieces_.end() && joins(it, next)) {
    free_.erase({next->second.bytes, next->first});
    it->second.bytes += next->second.bytes;
    pieces_.erase(next);
  }
  if (it != pieces_.begin()) {
    if (auto before = std::prev(it); joins(before, it)) {
      free_.erase({before->second.bytes, before->first});
      before->second.bytes += it->second.bytes;
      pieces_.erase(it);
      it = before;
    }
  }
  free_.emplace(it->second.bytes, it->first);
}

MemoryUse MemoryPool::use() const {
  MutexLock lock(mutex_);
  return use_;
}

std::shared_ptr<Buffer> allocate_from(const std::shared_ptr<MemoryPool>& pool, size_t bytes) {
  return std::make_shared<DeviceBuffer>(pool, bytes);
}

std::shared_ptr<Buffer> allocate_pinned(const std::shared_ptr<PrimaryContext>& context,
                                        size_t bytes) {
  context->make_current();
  void* data = nullptr;
  check(driver().cuMemHostAlloc(&data, std::max<size_t>(bytes, 1), CU_MEMHOSTALLOC_PORTABLE),
        str_cat("cuMemHostAlloc of ", bytes, " bytes"));
  return std::make_shared<PinnedBuffer>(context, data, bytes);
}

CUcontext context_of(const void* address) {
  return address_map().find(reinterpret_cast<uintptr_t>(address));
}

}  // namespace trireme::cuda
