#include "distributed/connection/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace trireme {

Connection::Connection(int fd) : handle_(fcntl(fd, F_DUPFD_CLOEXEC, 0)) {}

Connection::~Connection() {
  if (handle_ >= 0) close(handle_);
}

void Connection::break_off() const { shutdown(handle_, SHUT_RDWR); }

bool Connection::is_over() const {
  pollfd poll_fd{handle_, 0, 0};
  return handle_ < 0 || (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0);
}

}  // namespace trireme
