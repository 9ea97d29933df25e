// Whole files in memory, unpacked when they are gzip (RFC 1952). Gzip is told by its first bytes,
// not by the name.
//
// Errors name the file and the offset in it: kNotFound when it cannot be opened, kDataLoss when it
// is damaged or cut off, kResourceExhausted when it holds more than the caller allows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor/buffer.h"

namespace trireme::data {

// The contents of a file, in a buffer that tensors can share.
struct FileBytes {
  std::shared_ptr<Buffer> buffer;  // may be larger than its contents
  size_t size = 0;

  std::span<const uint8_t> bytes() const {
    return {static_cast<const uint8_t*>(buffer->data()), size};
  }
  std::string_view text() const { return {static_cast<const char*>(buffer->data()), size}; }
};

inline constexpr uint64_t kMaxFileBytes = uint64_t{16} << 30;

// Reads `path`. The packed file is read in pieces, so memory holds little more than the contents.
FileBytes read_file(const std::string& path, uint64_t max_bytes = kMaxFileBytes);

// The same for bytes that are in memory; `name` is for messages.
FileBytes unpack(std::span<const uint8_t> data, std::string_view name,
                 uint64_t max_bytes = kMaxFileBytes);

}  // namespace trireme::data
