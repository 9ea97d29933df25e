#include "ps/protocol/receive_buffers.h"

#include <new>
#include <utility>

namespace trireme::ps {
namespace {

// Smaller ones come quickly from the heap.
constexpr size_t kPooledBytes = size_t{64} << 10;
// More than any machine has: not even tried.
constexpr size_t kMostBytes = size_t{1} << 39;

}  // namespace

std::shared_ptr<ReceiveBuffers> ReceiveBuffers::make(size_t keep_bytes) {
  return std::shared_ptr<ReceiveBuffers>(new ReceiveBuffers(keep_bytes));
}

std::shared_ptr<std::byte> ReceiveBuffers::take(size_t bytes) {
  if (bytes > kMostBytes) return nullptr;
  const size_t words = bytes / sizeof(uint64_t) + 1;
  if (bytes < kPooledBytes) {
    auto memory = std::make_shared_for_overwrite<uint64_t[]>(words);
    return {memory, reinterpret_cast<std::byte*>(memory.get())};
  }
  Block block;
  {
    MutexLock lock(mutex_);
    // The smallest that fits, unless most of it would lie idle.
    auto best = kept_.end();
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      const bool fits = it->bytes >= bytes && it->bytes / 4 <= bytes;
      if (fits && (best == kept_.end() || it->bytes < best->bytes)) best = it;
    }
    if (best != kept_.end()) {
      kept_bytes_ -= best->bytes;
      block = std::exchange(*best, std::move(kept_.back()));
      kept_.pop_back();
    }
  }
  if (block.words == nullptr) {
    block.words.reset(new (std::nothrow) uint64_t[words]);
    block.bytes = bytes;
    if (block.words == nullptr) return nullptr;
  }
  auto* memory = reinterpret_cast<std::byte*>(block.words.get());
  auto giving_back = [block = std::make_shared<Block>(std::move(block)),
                      pool = weak_from_this()](std::byte* /*memory*/) {
    if (const auto alive = pool.lock()) alive->give_back(std::move(*block));
  };
  return {memory, std::move(giving_back)};
}

void ReceiveBuffers::give_back(Block block) {
  MutexLock lock(mutex_);
  if (kept_bytes_ + block.bytes > keep_bytes_) return;
  kept_bytes_ += block.bytes;
  kept_.push_back(std::move(block));
}

}  // namespace trireme::ps
