#include "core/tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>

#include "core/base/error.h"

namespace trireme {
namespace {

class HostBuffer : public Buffer {
 public:
  HostBuffer(void* data, size_t bytes) : Buffer(data, bytes, true) {}
  ~HostBuffer() override { std::free(data()); }
};

// Large buffers get pages of 2 MiB where the kernel has them: a matrix product that walks down a
// column touches a new page with every row, and with pages of 4 KiB misses the address cache each
// time.
constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

std::shared_ptr<Buffer> allocate_host(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  void* data = nullptr;
  // Not aligned_alloc, whose size must be a multiple of the alignment.
  if (rounded < bytes || posix_memalign(&data, alignment, rounded) != 0) data = nullptr;
  if (data != nullptr && alignment == kHugePage) {
    // A hint: where it is refused, everything works as before.
    (void)madvise(data, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
  if (data == nullptr) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("out of memory: asked for ", bytes, " bytes"));
  }
  return std::make_shared<HostBuffer>(data, bytes);
}

}  // namespace trireme
