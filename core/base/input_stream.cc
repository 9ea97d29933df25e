#include "core/base/input_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace trireme {
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::kNotFound;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return ErrorCode::kResourceExhausted;
    case EIO:
    case ESTALE:
      return ErrorCode::kFailed;
    default:
      return ErrorCode::kInvalidArgument;
  }
}

Error cannot_open(const std::string& path, int error_number) {
  return {code_of(error_number), str_cat(path, ": cannot be opened: ", reason(error_number))};
}

std::string_view kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "a file";
    case S_IFDIR:
      return "a directory";
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "something else";
  }
}

void check_kind(const std::string& path, mode_t mode, bool pipes) {
  if (S_ISREG(mode) || (pipes && S_ISFIFO(mode))) return;
  throw invalid_argument(path, ": expected a file, found ", kind_of(mode),
                         S_ISFIFO(mode) ? ", which can be read only once, and by one process; "
                                          "write it to a file first"
                                        : "");
}

}  // namespace

std::string_view kind_of_file(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 ? kind_of(info.st_mode) : "nothing";
}

int open_input(const std::string& path, bool pipes) {
  if (path.find('\0') != std::string::npos) throw cannot_open(path, ENOENT);
  struct stat info;
  // Looked at first: to open some devices does something.
  if (::stat(path.c_str(), &info) != 0) throw cannot_open(path, errno);
  check_kind(path, info.st_mode, pipes);
  // To open a pipe blocks until it has a writer, unless O_NONBLOCK is given.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) throw cannot_open(path, errno);
  try {
    // The name may mean another file by now.
    if (::fstat(fd, &info) != 0) throw cannot_open(path, errno);
    check_kind(path, info.st_mode, pipes);
  } catch (...) {
    ::close(fd);
    throw;
  }
  return fd;
}

InputStream::InputStream(std::string path, InputOptions options)
    : path_(std::move(path)), options_(options), fd_(open_input(path_, options.pipes)) {
  struct stat info;
  if (::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode)) {
    size_ = static_cast<uint64_t>(info.st_size);
    ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
}

InputStream::~InputStream() {
  if (fd_ >= 0) ::close(fd_);
}

bool InputStream::wait_for_pipe(std::chrono::milliseconds timeout) {
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + timeout;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    pollfd wanted{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready < 0 && errno != EINTR) {
      throw failed(path_, ": cannot be waited for: ", reason(errno));
    }
    if (ready > 0) return true;
    if (ready == 0) return false;
  }
}

size_t InputStream::read(void* data, size_t size) {
  auto* const out = static_cast<char*>(data);
  size_t done = 0;
  bool waited = false;
  while (done < size) {
    const ssize_t n = ::read(fd_, out + done, std::min<size_t>(size - done, size_t{1} << 30));
    if (n > 0) {
      has_writer_ = true;
      done += static_cast<size_t>(n);
      read_ += static_cast<uint64_t>(n);
    } else if (n == 0) {
      if (size_ || has_writer_) break;
      // The end of a pipe, or nobody has opened it for writing yet.
      if (waited) {
        throw invalid_argument(path_, ": nobody opened this pipe for writing within ",
                               options_.writer_timeout.count() / 1000.0, " s");
      }
      has_writer_ = wait_for_pipe(options_.writer_timeout);
      waited = true;
    } else if (errno == EAGAIN) {
      has_writer_ = true;
      if (!wait_for_pipe(options_.data_timeout)) {
        throw invalid_argument(path_, ": the writer of this pipe gave nothing for ",
                               options_.data_timeout.count() / 1000.0, " s after ", read_,
                               " bytes");
      }
    } else if (errno != EINTR) {
      throw data_loss(path_, ": cannot be read at byte ", read_, ": ", reason(errno));
    }
  }
  return done;
}

std::string read_whole(const std::string& path, uint64_t max_bytes, std::string_view what,
                       InputOptions options) {
  InputStream in(path, options);
  const auto check = [&](uint64_t size) {
    if (size <= max_bytes) return;
    throw invalid_argument(path, ": expected ", what, " of at most ", shown_bytes(max_bytes),
                           in.size() ? str_cat(", found ", *in.size(), " bytes") : ", found more");
  };
  check(in.size().value_or(0));
  std::string bytes;
  // Files of /proc say that they are empty, and are not.
  constexpr size_t kPiece = 64 << 10;
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(std::max<size_t>(before + kPiece, in.size().value_or(0) + 1));
    bytes.resize(before + in.read(bytes.data() + before, bytes.size() - before));
    check(bytes.size());
    if (bytes.size() == before) return bytes;
  }
}

std::string shown_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {" bytes", " KiB", " MiB", " GiB", " TiB"};
  size_t unit = 0;
  for (; unit < 4 && bytes >= 1024 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  return str_cat(bytes, kUnits[unit]);
}

}  // namespace trireme
