// Memory of a card, and host memory that a card copies from and to without the processor. Private
// to core/device/cuda.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/base/thread_annotations.h"
#include "core/device/cuda/libraries.h"
#include "core/device/device.h"

namespace trireme::cuda {

// The context of a card that everything in this process shares, held for as long as this lives.
class PrimaryContext {
 public:
  explicit PrimaryContext(int card);
  ~PrimaryContext();
  PrimaryContext(const PrimaryContext&) = delete;

  void make_current() const;  // for the calling thread
  CUdevice device() const { return device_; }
  CUcontext raw() const { return context_; }

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
};

// Takes blocks of a card's memory and hands out pieces of them: the smallest free piece that is
// large enough, joined with free neighbours when it comes back. A piece may be used again as soon
// as it is released: whoever releases has waited for the work on it. Safe from any thread.
class MemoryPool {
 public:
  // Growing: blocks are taken from the card as they are needed, up to `limit_bytes` together. Else
  // all of the limit is one block, taken now.
  MemoryPool(std::shared_ptr<PrimaryContext> context, std::string owner, size_t limit_bytes,
             bool growing);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;

  // Aligned to 512 bytes. Throws Error{kResourceExhausted}: how much, what is in use, the limit,
  // what is free on the card, what to do.
  void* allocate(size_t bytes) EXCLUDES(mutex_);
  void release(void* address) noexcept EXCLUDES(mutex_);
  MemoryUse use() const EXCLUDES(mutex_);
  const PrimaryContext& context() const { return *context_; }

 private:
  using Address = uintptr_t;
  struct Piece {
    size_t bytes;
    Address block;  // where its block begins
    bool free;
  };
  bool grow(size_t bytes) REQUIRES(mutex_);
  void give_back_free_blocks() REQUIRES(mutex_);
  void add_block(Address begin, size_t bytes) REQUIRES(mutex_);
  [[noreturn]] void throw_exhausted(size_t bytes) REQUIRES(mutex_);

  const std::shared_ptr<PrimaryContext> context_;
  const std::string owner_;
  const size_t limit_;
  const bool growing_;

  mutable Mutex mutex_;
  std::map<Address, Piece> pieces_ GUARDED_BY(mutex_);            // all, side by side in blocks
  std::set<std::pair<size_t, Address>> free_ GUARDED_BY(mutex_);  // by size
  std::map<Address, size_t> blocks_ GUARDED_BY(mutex_);           // as the driver gave them
  MemoryUse use_ GUARDED_BY(mutex_);
};

std::shared_ptr<Buffer> allocate_from(const std::shared_ptr<MemoryPool>& pool, size_t bytes);

// Page-locked host memory. Throws Error{kResourceExhausted}.
std::shared_ptr<Buffer> allocate_pinned(const std::shared_ptr<PrimaryContext>& context,
                                        size_t bytes);

// The context of the card on which an address lies that a pool handed out; null for any other.
CUcontext context_of(const void* address);

}  // namespace trireme::cuda
