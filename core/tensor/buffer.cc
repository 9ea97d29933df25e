#include "core/tensor/buffer.h"

#include <cstdlib>
#include <new>

#include "core/base/error.h"

namespace trireme {
namespace {

class HostBuffer : public Buffer {
 public:
  HostBuffer(void* data, size_t bytes) : Buffer(data, bytes, true) {}
  ~HostBuffer() override { std::free(data()); }
};

}  // namespace

std::shared_ptr<Buffer> allocate_host(size_t bytes) {
  const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  void* data = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) {
    throw Error(ErrorCode::kResourceExhausted, str_cat("out of memory: asked for ", bytes, " bytes"));
  }
  return std::make_shared<HostBuffer>(data, bytes);
}

}  // namespace trireme
