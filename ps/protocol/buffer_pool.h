// Memory for messages, used again: a fresh one of many megabytes costs more in page faults than in
// copying rows into it.
//
// Any thread. Buffers may outlive the pool.
#pragma once

#include <cstddef>
#include <memory>

namespace trireme::ps {

class BufferPool {
 public:
  explicit BufferPool(size_t most_kept_bytes = size_t{256} << 20);
  // At least `bytes`, aligned to 64, with anything in them; given back when the last owner goes.
  std::shared_ptr<std::byte> take(size_t bytes);

 private:
  struct Shelf;
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace trireme::ps
