#include "core/tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <memory>

#include "core/base/error.h"

namespace trireme {
namespace {

class HostBuffer : public Buffer {
 public:
  // `block`: what malloc() gave.
  HostBuffer(void* block, void* data, size_t bytes) : Buffer(data, bytes, true), block_(block) {}
  ~HostBuffer() override { std::free(block_); }

 private:
  void* const block_;
};

// Large buffers get pages of 2 MiB where the kernel has them: a matrix product that walks down a
// column touches a new page with every row, and with pages of 4 KiB misses the address cache each
// time.
constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

std::shared_ptr<Buffer> allocate_host(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  // Not posix_memalign: before glibc 2.38 it does not find again what it gave and was freed, so
  // that a process grows by a buffer with each one that comes and goes.
  size_t space = rounded + alignment;
  void* const block = rounded < bytes || space < rounded ? nullptr : std::malloc(space);
  void* data = block;
  if (block != nullptr) std::align(alignment, rounded, data, space);
  if (block != nullptr && alignment == kHugePage) {
    // A hint: where it is refused, everything works as before.
    (void)madvise(data, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
  if (block == nullptr) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("out of memory: asked for ", bytes, " bytes"));
  }
  return std::make_shared<HostBuffer>(block, data, bytes);
}

}  // namespace trireme
