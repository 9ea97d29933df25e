#include "launcher/standard_output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>

namespace trireme {

void keep_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // Read-only for standard output: a write to it fails, as it would to what is closed.
    const int mode = fd == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    const int opened = ::open("/dev/null", mode);  // gets the lowest number that is free
    if (opened >= 0 && opened != fd) {
      ::dup2(opened, fd);
      ::close(opened);
    }
  }
}

void outlive_readers() { std::signal(SIGPIPE, SIG_IGN); }

Error standard_output_error(int error_number) {
  const ErrorCode code = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG
                             ? ErrorCode::kResourceExhausted
                             : ErrorCode::kFailed;
  return {code, str_cat("standard output cannot be written: ",
                        error_number == EBADF ? "it is closed" : std::strerror(error_number),
                        "; what the command printed is lost, or ends too early")};
}

StandardOutput::StandardOutput() : previous_(std::cout.rdbuf(this)) {
  setp(buffer_.data(), buffer_.data() + buffer_.size());
}

StandardOutput::~StandardOutput() {
  write_out();
  std::cout.rdbuf(previous_);
}

void StandardOutput::finish() {
  write_out();
  if (error_number_ == 0) return;
  if (error_number_ == EPIPE) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  throw standard_output_error(error_number_);
}

int StandardOutput::sync() { return write_out() ? 0 : -1; }

StandardOutput::int_type StandardOutput::overflow(int_type byte) {
  if (!write_out()) return traits_type::eof();
  if (!traits_type::eq_int_type(byte, traits_type::eof())) {
    *pptr() = traits_type::to_char_type(byte);
    pbump(1);
  }
  return traits_type::not_eof(byte);
}

// After the first error nothing more is written: what follows a hole is worth nothing.
bool StandardOutput::write_out() {
  const char* next = pbase();
  while (error_number_ == 0 && next < pptr()) {
    const ssize_t written = ::write(STDOUT_FILENO, next, static_cast<size_t>(pptr() - next));
    if (written >= 0) {
      next += written;
    } else if (errno == EAGAIN) {
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};  // whoever shares it made it non-blocking
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      error_number_ = errno;
    }
  }
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  return error_number_ == 0;
}

}  // namespace trireme
