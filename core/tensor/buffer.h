// Memory that tensors share. A Buffer frees itself; what frees it and who may touch it depends on
// where it lives.
#pragma once

#include <cstddef>
#include <memory>

namespace trireme {

// Alignment of every buffer and of every value inside an arena: one cache line, one AVX-512
// register.
inline constexpr size_t kAlignment = 64;

// The least multiple of kAlignment that is at least `bytes`.
constexpr size_t align_up(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Buffer {
 public:
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // False when `data()` is an address of a device: only that device's copies and kernels may use
  // it.
  bool on_host() const { return on_host_; }

 protected:
  Buffer(void* data, size_t bytes, bool on_host) : data_(data), bytes_(bytes), on_host_(on_host) {}

 private:
  void* data_;
  size_t bytes_;
  bool on_host_;
};

// Uninitialised host memory, aligned to kAlignment. Throws Error{kResourceExhausted} naming the
// size.
std::shared_ptr<Buffer> allocate_host(size_t bytes);

}  // namespace trireme
