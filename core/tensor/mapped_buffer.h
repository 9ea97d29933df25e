// Bytes of a file as a buffer: pages that the kernel reads when they are touched, and that are the
// file's until somebody writes to them.
#pragma once

#include <cstdint>
#include <memory>

#include "core/tensor/buffer.h"

namespace trireme {

// Host memory. What is written to it stays in this process. A file that somebody cuts off while it
// is mapped kills the process at the next access, so whoever keeps a value for long copies it.
class MappedBuffer : public Buffer {
 public:
  // Bytes [offset, offset + bytes) of the open file `fd`. Null when the system refuses.
  // REQUIRES: they are in the file, and bytes > 0.
  static std::shared_ptr<MappedBuffer> map(int fd, uint64_t offset, size_t bytes);
  ~MappedBuffer() override;

  // Gives back the memory of pages that only were read, in [offset, offset + bytes).
  void drop(size_t offset, size_t bytes);

 private:
  MappedBuffer(void* pages, size_t mapped, size_t lead, size_t bytes);

  void* const pages_;
  const size_t mapped_;
};

}  // namespace trireme
