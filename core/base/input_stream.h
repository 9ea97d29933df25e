// A file that a user named as input, read once from its beginning to its end.
//
// Regular files are read, and pipes where the options say so. A directory, a device or a socket is
// Error{kInvalidArgument} that says what the path is: a device may never end, and may do something
// when it is opened. A pipe is waited for with a deadline. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trireme {

struct InputOptions {
  // Whether a pipe may stand for a file. What is read twice, or by several processes, cannot be
  // one: each reader would get a part.
  bool pipes = false;
  std::chrono::milliseconds writer_timeout{10'000};  // for somebody to open the pipe and write
  std::chrono::milliseconds data_timeout{600'000};   // for the next byte while a writer is there
};

class InputStream {
 public:
  // Throws Error{kNotFound} when nothing is there, Error{kInvalidArgument} for what is no file.
  explicit InputStream(std::string path, InputOptions options = {});
  ~InputStream();
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;

  // Fills `data` unless the file ends before; returns the bytes read, 0 at the end.
  size_t read(void* data, size_t size);

  const std::string& path() const { return path_; }
  std::optional<uint64_t> size() const { return size_; }  // when it was opened; none for a pipe

 private:
  bool wait_for_pipe(std::chrono::milliseconds timeout);  // false: nothing happened

  std::string path_;
  InputOptions options_;
  std::optional<uint64_t> size_;
  uint64_t read_ = 0;
  int fd_ = -1;
  bool has_writer_ = false;  // of a pipe, now or earlier
};

// Opens a regular file, or a pipe if `pipes`, without blocking; the result is the descriptor.
// Errors as above.
int open_input(const std::string& path, bool pipes);

// What `path` is: "a file", "a directory", "a character device", …; "nothing" when it is not there.
std::string_view kind_of_file(const std::string& path);

// The whole file. Throws Error{kInvalidArgument} when it has more than `max_bytes`, which is known
// before they are read, or as soon as a pipe has given more. `what` says what is expected: "a job
// file".
std::string read_whole(const std::string& path, uint64_t max_bytes, std::string_view what,
                       InputOptions options = {});

// "16 MiB", or "1000 bytes" where no larger unit is exact.
std::string shown_bytes(uint64_t bytes);

}  // namespace trireme
