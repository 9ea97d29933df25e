// A file that appears whole or not at all.
//
// What is appended goes to a temporary name in the same directory; commit() makes it durable and
// renames it over the final name. Until then a reader of that name sees the previous file, and so
// it does after an error, a crash or a full disk. Without commit() the temporary file is removed by
// the destructor; by remove_temporaries_at_signal() when a signal ends the process; and, after a
// SIGKILL or a crash, by the next AtomicFile of that name or by remove_stale_temporaries(). One
// thread.
//
// A symbolic link of that name is replaced, not followed; permissions of a file that is replaced
// are kept. A FIFO, a character device, /dev/stdout and its like are written as they are: there is
// nothing that could be kept.
//
// Errors say the path, what was tried, the system's reason and, for a full disk, the space that is
// left: Error{kResourceExhausted} for disk, quota or file-size limits, Error{kInvalidArgument} for
// permissions and for what is no file, Error{kFailed} for the rest (a failing device).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trireme::io {

class AtomicFile {
 public:
  explicit AtomicFile(std::string path);  // REQUIRES: its directory exists
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes appended

  // Small pieces are collected; large ones are written from where they are.
  void append(const void* data, size_t size);
  void append(std::string_view bytes) { append(bytes.data(), bytes.size()); }
  // For a writer of its own, which must be done before commit(). It stays this object's.
  int descriptor() const { return fd_; }

  void sync();    // all that was appended is on the disk, under the temporary name
  void commit();  // sync(), then the final name, durably. Nothing may be appended afterwards.
  // commit(); returns the file's descriptor, still open behind its last byte, which the caller
  // closes.
  int commit_open();

 private:
  bool open_in_place();
  void open_temporary();
  void write(const char* data, size_t size);
  void flush();

  std::string path_;
  std::string temporary_;  // empty: the file is written in place
  int slot_ = -1;          // of remove_temporaries_at_signal()
  std::string buffer_;
  uint64_t size_ = 0;
  // Holds a lock on the file: this is how a temporary file in use differs from a stale one.
  int fd_ = -1;
};

void write_file_atomically(const std::string& path, std::string_view bytes);

// Makes renames and removals in `directory` durable.
void sync_directory(const std::string& directory);

// The directory of `path`, "." when it has none.
std::string directory_of(const std::string& path);

// Creates the directory and its parents where they are missing.
void create_directories(const std::string& directory);

// Removes the temporary files of writers that died in `directory`; those of living writers, of any
// process, stay. Returns how many were removed.
int remove_stale_temporaries(const std::string& directory);

// Removes the temporary files of this process, for a handler of a signal that ends it.
// Async-signal-safe.
void remove_temporaries_at_signal() noexcept;

}  // namespace trireme::io
