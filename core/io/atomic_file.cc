#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
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

// Removes `path` when it is the temporary file of a writer that died.
bool remove_if_stale(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return false;
  const bool removed = ::flock(fd, LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0;
  ::close(fd);
  return removed;
}

// Those of files whose names begin with `start`.
int remove_stale(const std::string& directory, const std::string& start) {
  int removed = 0;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(start) || !is_temporary_name(name)) continue;
    if (remove_if_stale(it->path().string())) ++removed;
  }
  return removed;
}

// What a signal handler may read: no memory that another thread may be changing.
struct TemporaryName {
  std::atomic<int> state{0};  // 0: free, 1: being written, 2: there
  char path[PATH_MAX];
};
constexpr int kNames = 32;
TemporaryName g_names[kNames];

// −1: all are taken, or the name is too long; then the next writer removes what a signal leaves.
int note_temporary(const std::string& path) {
  if (path.size() >= PATH_MAX) return -1;
  for (int slot = 0; slot < kNames; ++slot) {
    int expected = 0;
    if (!g_names[slot].state.compare_exchange_strong(expected, 1)) continue;
    std::memcpy(g_names[slot].path, path.c_str(), path.size() + 1);
    g_names[slot].state = 2;
    return slot;
  }
  return -1;
}

void forget_temporary(int slot) {
  if (slot >= 0) g_names[slot].state = 0;
}

// The number of the descriptor that `path` is another name of; −1: of none.
int descriptor_of(const std::string& path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    const char* const end = path.data() + path.size();
    int number = -1;
    const auto [behind, error] = std::from_chars(path.data() + folder.size(), end, number);
    if (error == std::errc() && behind == end) return number;
  }
  return -1;
}

}  // namespace

void remove_temporaries_at_signal() noexcept {
  for (TemporaryName& name : g_names) {
    if (name.state == 2) ::unlink(name.path);
  }
}

std::string directory_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  if (!open_in_place()) open_temporary();
}

// Renaming over a device or a FIFO would replace it for everybody.
bool AtomicFile::open_in_place() {
  struct stat info;
  if (const int number = descriptor_of(path_); number >= 0) {
    // The same open file, so that what else is printed there comes before or behind it.
    fd_ = ::fcntl(number, F_DUPFD_CLOEXEC, 3);
  } else if (::lstat(path_.c_str(), &info) != 0) {
    return false;
  } else if (S_ISDIR(info.st_mode)) {
    throw invalid_argument(path_, ": expected the name of a file to write, found a directory");
  } else if (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
  } else if (S_ISREG(info.st_mode) || S_ISLNK(info.st_mode)) {
    return false;
  } else {
    throw invalid_argument(path_, ": expected the name of a file to write, found a ",
                           S_ISBLK(info.st_mode) ? "block device" : "socket");
  }
  if (fd_ < 0) throw file_error("open it for writing", path_, errno);
  return true;
}

void AtomicFile::open_temporary() {
  remove_stale(directory_of(path_), fs::path(path_).filename().string().append(kTemporaryMark));
  struct stat previous;
  const bool replaces = ::lstat(path_.c_str(), &previous) == 0 && S_ISREG(previous.st_mode);
  for (;;) {
    temporary_ = temporary_name(path_);
    slot_ = note_temporary(temporary_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const int error_number = errno;
    if (fd_ < 0) forget_temporary(std::exchange(slot_, -1));
    if (fd_ < 0 && error_number == EEXIST) continue;
    if (fd_ < 0) throw file_error("create a file beside it", path_, error_number);
    // Between open and flock another process may have taken the file for a stale one and removed
    // it.
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
    if (is_linked(fd_)) break;
    ::close(fd_);
    forget_temporary(slot_);
  }
  if (replaces) (void)!::fchmod(fd_, previous.st_mode & 0777);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  forget_temporary(slot_);
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
  // A pipe or a device need not know what that is.
  if (::fsync(fd_) != 0 && !(temporary_.empty() && (errno == EINVAL || errno == EROFS))) {
    throw file_error("make it durable (fsync)", path_, errno);
  }
}

void AtomicFile::commit() { ::close(commit_open()); }

int AtomicFile::commit_open() {
  sync();
  if (!temporary_.empty() && ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw file_error(str_cat("rename ", temporary_, " to it"), path_, errno);
  }
  forget_temporary(std::exchange(slot_, -1));
  const int fd = std::exchange(fd_, -1);
  if (temporary_.empty()) return fd;
  try {
    sync_directory(directory_of(path_));
  } catch (...) {
    ::close(fd);
    throw;
  }
  return fd;
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

int remove_stale_temporaries(const std::string& directory) { return remove_stale(directory, ""); }

}  // namespace trireme::io
