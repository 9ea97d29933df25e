#include "core/base/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace trireme {

int open_log_file(const std::string& path) {
  // Without O_NONBLOCK a FIFO of that name could wait for a reader for ever.
  const int fd =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (fd < 0 && errno == ELOOP) {
    throw invalid_argument(path,
                           ": a log does not follow a symbolic link; remove the link, or "
                           "choose another folder");
  }
  if (fd < 0) throw invalid_argument("cannot open log file ", path, ": ", std::strerror(errno));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    throw invalid_argument(path,
                           ": a log must be a regular file; remove what has its name, or "
                           "choose another folder");
  }
  ::fcntl(fd, F_SETFL, O_APPEND);
  return fd;
}

bool write_all(int fd, const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t written = ::write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    count -= static_cast<size_t>(written);
  }
  return true;
}

}  // namespace trireme
