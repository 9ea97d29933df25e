// A file opened for reading at any offset, and the errors of all file calls. What is no regular
// file is refused (core/base/input_stream.h).
//
// read() may be called from several threads. The file stays readable if its name is removed
// meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace trireme {
class MappedBuffer;
}

namespace trireme::io {

class InputFile {
 public:
  explicit InputFile(std::string path);  // throws what open_input() and file_error() say
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened

  // Reads exactly `size` bytes from `offset`. Throws Error{kDataLoss} when the file ends before.
  void read(uint64_t offset, void* data, size_t size) const;

  // `size` bytes from `offset` as pages of the file (core/tensor/mapped_buffer.h). Null when the
  // system refuses, and for none. REQUIRES: they are in the file.
  std::shared_ptr<MappedBuffer> map(uint64_t offset, size_t size) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// The whole file. Throws Error{kDataLoss} when it is larger than `max_bytes`.
std::string read_file(const std::string& path, uint64_t max_bytes);

// The error for a system call on `path` that set `error_number`: what was tried, the system's
// reason, and for a full disk the space that is left.
Error file_error(std::string_view action, const std::string& path, int error_number);

// A name from a file, for a message: in quotes, control bytes replaced, cut when long.
std::string quote_name(std::string_view name);

}  // namespace trireme::io
