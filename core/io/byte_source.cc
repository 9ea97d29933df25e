#include "core/io/byte_source.h"

#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace trireme::io {
namespace {

class FileBytes final : public ByteSource {
 public:
  explicit FileBytes(InputFile file)
      : ByteSource(file.path(), file.size()), file_(std::move(file)) {}

 private:
  void fill(uint64_t offset, void* data, size_t size) const override {
    file_.read(offset, data, size);
  }
  InputFile file_;
};

class PartBytes final : public ByteSource {
 public:
  PartBytes(ByteSourcePtr whole, uint64_t offset, uint64_t size, std::string name)
      : ByteSource(std::move(name), size), whole_(std::move(whole)), offset_(offset) {}

 private:
  void fill(uint64_t offset, void* data, size_t size) const override {
    whole_->read(offset_ + offset, data, size);
  }
  ByteSourcePtr whole_;
  uint64_t offset_;
};

class MemoryBytes final : public ByteSource {
 public:
  MemoryBytes(const void* data, uint64_t size, std::shared_ptr<Buffer> owner, std::string name)
      : ByteSource(std::move(name), size),
        data_(static_cast<const char*>(data)),
        owner_(std::move(owner)) {}

 private:
  void fill(uint64_t offset, void* data, size_t size) const override {
    std::memcpy(data, data_ + offset, size);
  }
  const char* data_;
  std::shared_ptr<Buffer> owner_;
};

}  // namespace

void ByteSource::read(uint64_t offset, void* data, size_t size) const {
  if (offset > size_ || size > size_ - offset) {
    throw data_loss(name_, ": expected ", size, " bytes from byte ", offset, ", the file has ",
                    size_, "; it is damaged or cut off");
  }
  if (size > 0) fill(offset, data, size);
}

ByteSourcePtr file_bytes(const std::string& path) {
  return std::make_shared<FileBytes>(InputFile(path));
}

ByteSourcePtr part_of(ByteSourcePtr whole, uint64_t offset, uint64_t size, std::string name) {
  TRIREME_CHECK(offset <= whole->size() && size <= whole->size() - offset, "a part of ", name);
  return std::make_shared<PartBytes>(std::move(whole), offset, size, std::move(name));
}

ByteSourcePtr memory_bytes(std::span<const uint8_t> bytes, std::string name) {
  return std::make_shared<MemoryBytes>(bytes.data(), bytes.size(), nullptr, std::move(name));
}

ByteSourcePtr memory_bytes(std::shared_ptr<Buffer> buffer, uint64_t size, std::string name) {
  TRIREME_CHECK(size <= buffer->bytes());
  const void* const data = buffer->data();
  return std::make_shared<MemoryBytes>(data, size, std::move(buffer), std::move(name));
}

}  // namespace trireme::io
