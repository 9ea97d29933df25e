// Bytes that are read at any offset: a file, a part of one, or memory. Calls from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/io/input_file.h"
#include "core/tensor/buffer.h"

namespace trireme::io {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  const std::string& name() const { return name_; }  // for messages
  uint64_t size() const { return size_; }
  // Throws Error{kDataLoss} when the bytes are not all there.
  void read(uint64_t offset, void* data, size_t size) const;

 protected:
  ByteSource(std::string name, uint64_t size) : name_(std::move(name)), size_(size) {}
  virtual void fill(uint64_t offset, void* data, size_t size) const = 0;

 private:
  std::string name_;
  uint64_t size_;
};
using ByteSourcePtr = std::shared_ptr<const ByteSource>;

ByteSourcePtr file_bytes(const std::string& path);
// REQUIRES: `offset + size` is within the file.
ByteSourcePtr part_of(ByteSourcePtr whole, uint64_t offset, uint64_t size, std::string name);
// `bytes` must outlive it.
ByteSourcePtr memory_bytes(std::span<const uint8_t> bytes, std::string name);
ByteSourcePtr memory_bytes(std::shared_ptr<Buffer> buffer, uint64_t size, std::string name);

}  // namespace trireme::io
