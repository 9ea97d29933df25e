// A library for LD_PRELOAD that makes a program's TCP connections bad: some calls that send or
// receive wait first, and some find that the connection has broken.
//
//   TRIREME_FAULTY_NETWORK="DELAYS RESETS MILLISECONDS": of a million calls, how many wait for up
//   to so many milliseconds, and how many break their connection.
//
// Every process draws other numbers: what matters is that the program stands it, not when it comes.
#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

struct Faults {
  unsigned delays = 0, resets = 0, milliseconds = 0;  // the first two of a million calls
};

const Faults& faults() {
  static const Faults kFaults = [] {
    Faults read;
    if (const char* text = std::getenv("TRIREME_FAULTY_NETWORK")) {
      std::sscanf(text, "%u %u %u", &read.delays, &read.resets, &read.milliseconds);
    }
    return read;
  }();
  return kFaults;
}

uint32_t draw() {
  static std::atomic<uint64_t> state{static_cast<uint64_t>(getpid()) * 0x9e3779b97f4a7c15U +
                                     static_cast<uint64_t>(std::time(nullptr))};
  uint64_t x = state.fetch_add(0x9e3779b97f4a7c15U);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  return static_cast<uint32_t>(x >> 32);
}

bool is_tcp(int fd) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return false;
  size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         (domain == AF_INET || domain == AF_INET6);
}

// True when the connection is broken now.
bool disturb(int fd) {
  const Faults& wanted = faults();
  if (wanted.delays + wanted.resets == 0) return false;
  const uint32_t number = draw() % 1000000;
  if (number >= wanted.delays + wanted.resets || !is_tcp(fd)) return false;
  if (number < wanted.resets) {
    shutdown(fd, SHUT_RDWR);
    errno = ECONNRESET;
    return true;
  }
  const uint32_t wait = wanted.milliseconds == 0 ? 0 : draw() % wanted.milliseconds;
  const timespec time{wait / 1000, static_cast<long>(wait % 1000) * 1000000};
  nanosleep(&time, nullptr);
  return false;
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto next = real<ssize_t (*)(int, const msghdr*, int)>("sendmsg");
  return disturb(fd) ? -1 : next(fd, message, flags);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static const auto next = real<ssize_t (*)(int, msghdr*, int)>("recvmsg");
  return disturb(fd) ? -1 : next(fd, message, flags);
}

}  // extern "C"
