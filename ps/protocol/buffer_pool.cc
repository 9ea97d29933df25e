#include "ps/protocol/buffer_pool.h"

#include <map>
#include <new>

#include "core/base/thread_annotations.h"

namespace trireme::ps {
namespace {

constexpr std::align_val_t kAlignment{64};
// Smaller ones are quick to get from the system's allocator.
constexpr size_t kLeastPooled = size_t{64} << 10;

struct Release {
  void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
};
using Buffer = std::unique_ptr<std::byte, Release>;

Buffer allocate(size_t bytes) {
  return Buffer(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
}

}  // namespace

struct BufferPool::Shelf {
  explicit Shelf(size_t most_bytes) : most(most_bytes) {}
  const size_t most;
  Mutex mutex;
  std::multimap<size_t, Buffer> buffers GUARDED_BY(mutex);  // by size
  size_t bytes GUARDED_BY(mutex) = 0;

  void put(Buffer buffer, size_t size) {
    std::multimap<size_t, Buffer> old;  // freed after the lock
    MutexLock lock(mutex);
    if (size > most) return;
    while (bytes + size > most) {
      // The smallest first: it is the quickest to make again.
      bytes -= buffers.begin()->first;
      old.insert(buffers.extract(buffers.begin()));
    }
    buffers.emplace(size, std::move(buffer));
    bytes += size;
  }

  Buffer get(size_t least, size_t& size) {
    MutexLock lock(mutex);
    const auto it = buffers.lower_bound(least);
    if (it == buffers.end() || it->first > 4 * least) return nullptr;
    size = it->first;
    Buffer buffer = std::move(it->second);
    bytes -= size;
    buffers.erase(it);
    return buffer;
  }
};

BufferPool::BufferPool(size_t most_kept_bytes) : shelf_(std::make_shared<Shelf>(most_kept_bytes)) {}

std::shared_ptr<std::byte> BufferPool::take(size_t bytes) {
  if (bytes < kLeastPooled) return {allocate(bytes).release(), Release()};
  size_t size = bytes;
  Buffer buffer = shelf_->get(bytes, size);
  if (buffer == nullptr) buffer = allocate(bytes);
  return {buffer.release(), [shelf = shelf_, size](std::byte* p) { shelf->put(Buffer(p), size); }};
}

}  // namespace trireme::ps
