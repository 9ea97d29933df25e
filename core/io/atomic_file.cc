#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/io/input_file.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBufferBytes = 256 * 1024;
constexpr std::string_view kTemporaryMark = ".tmp-";

std::string temporary_name(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  return str_cat(path, kTemporaryMark, ::getpid(), "-", counter++);
}

bool is_temporary_name(std::string_view name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (mark == std::string_view::npos) return false;
  const std::string_view rest = name.substr(mark + kTemporaryMark.size());
  return !rest.empty() && rest.find_first_not_of("0123456789-") == std::string_view::npos;
}

bool is_linked(int fd) {
  struct stat info;
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

}  // namespace

std::string directory_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) { open_temporary(); }

void AtomicFile::open_temporary() {
  for (;;) {
    temporary_ = temporary_name(path_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno == EEXIST) continue;
    if (fd_ < 0) throw file_error("create a file beside it", path_, errno);
    // Between open and flock another process may have taken the file for a stale one and removed
    // it.
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
    if (is_linked(fd_)) return;
    ::close(fd_);
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(fd_);
}

void AtomicFile::append(const void* data, size_t size) {
  TRIREME_CHECK(fd_ >= 0, path_, " is committed already");
  if (buffer_.size() + size > kBufferBytes) flush();
  if (size >= kBufferBytes) {
    write(static_cast<const char*>(data), size);
  } else {
    if (buffer_.capacity() == 0) buffer_.reserve(kBufferBytes);
    buffer_.append(static_cast<const char*>(data), size);
  }
  size_ += size;
}

void AtomicFile::write(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd_, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error(str_cat("write ", size, " bytes"), path_, errno);
    data += n;
    size -= static_cast<size_t>(n);
  }
}

void AtomicFile::flush() {
  write(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::sync() {
  flush();
  if (::fsync(fd_) != 0) throw file_error("make it durable (fsync)", path_, errno);
}

void AtomicFile::commit() {
  sync();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw file_error(str_cat("rename ", temporary_, " to it"), path_, errno);
  }
  ::close(std::exchange(fd_, -1));
  sync_directory(directory_of(path_));
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.append(bytes);
  file.commit();
}

void sync_directory(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw file_error("open the directory", directory, errno);
  const int error_number = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // EINVAL: a file system that has no such notion.
  if (error_number != 0 && error_number != EINVAL) {
    throw file_error("make the directory durable (fsync)", directory, error_number);
  }
}

void create_directories(const std::string& directory) {
  std::error_code error;
  const bool created = fs::create_directories(directory, error);
  if (error) throw file_error("create the directory", directory, error.value());
  if (!fs::is_directory(directory, error)) {
    throw invalid_argument(directory, ": expected a directory, found a file");
  }
  if (created) sync_directory(directory_of(directory));
}

int remove_stale_temporaries(const std::string& directory) {
  int removed = 0;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    if (!is_temporary_name(it->path().filename().string())) continue;
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0) ++removed;
    ::close(fd);
  }
  return removed;
}

}  // namespace trireme::io
