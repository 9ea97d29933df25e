// Memory for contents whose size is known only when they have been read, as one Buffer in the end.
//
// Pages are moved, not copied, when it grows, and untouched ones take no memory: so it never takes
// more than its contents do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/tensor/buffer.h"

namespace trireme::io {

class GrowingBuffer {
 public:
  // `name`: of the file, for messages.
  explicit GrowingBuffer(std::string name);
  ~GrowingBuffer();
  GrowingBuffer(const GrowingBuffer&) = delete;
  GrowingBuffer& operator=(const GrowingBuffer&) = delete;

  // `bytes` more at the end, for the caller to fill; they count as contents until drop(). Addresses
  // that were given before are void. Throws Error{kResourceExhausted} when the machine has not as
  // much memory.
  std::span<uint8_t> add(size_t bytes);
  void drop(size_t bytes);  // from the end
  size_t size() const { return size_; }

  // The contents; nothing is left.
  std::shared_ptr<Buffer> take();

 private:
  void reserve(size_t bytes);

  std::string name_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

// What this process may use: the machine's memory, or its control group's limit where that is less.
uint64_t memory_limit();

// Throws Error{kResourceExhausted} when `bytes` of a data set cannot fit this machine's memory.
void check_fits_memory(uint64_t bytes, const std::string& name);

}  // namespace trireme::io
