#include "distributed/collective/grpc_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/system_error.h"

namespace trireme {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMostConnections = 4096;
// A host that does not answer is tried again: whether it is still wanted is asked in between.
constexpr std::chrono::seconds kOneTry{3};

struct AddressList {
  addrinfo* first = nullptr;
  ~AddressList() {
    if (first != nullptr) freeaddrinfo(first);
  }
};

// What the address resolves to; empty `problem` when it does.
std::string resolve(const std::string& host, const std::string& port, bool passive,
                    AddressList& list) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  const int status = getaddrinfo(host.c_str(), port.c_str(), &hints, &list.first);
  return status == 0 ? "" : gai_strerror(status);
}

// "host:port" or "[host]:port".
std::pair<std::string, std::string> split(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    throw invalid_argument("expected the address of a peer as host:port, found \"", address, "\"");
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return {host, address.substr(colon + 1)};
}

int milliseconds_until(steady_clock::time_point deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
}

void send_at_once(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// One attempt; -1 and errno.
int try_connect(const addrinfo& to, steady_clock::time_point deadline) {
  const int fd = socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int error = 0;
  if (connect(fd, to.ai_addr, to.ai_addrlen) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      pollfd poll_fd{fd, POLLOUT, 0};
      const int ready = poll(&poll_fd, 1, milliseconds_until(deadline));
      socklen_t length = sizeof(error);
      error = ETIMEDOUT;
      if (ready > 0) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    }
  }
  if (error == 0) return fd;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

GrpcConnection::GrpcConnection(int fd) : handle_(fcntl(fd, F_DUPFD_CLOEXEC, 0)) {}

GrpcConnection::~GrpcConnection() {
  if (handle_ >= 0) close(handle_);
}

void GrpcConnection::break_off() const { shutdown(handle_, SHUT_RDWR); }

bool GrpcConnection::is_over() const {
  pollfd poll_fd{handle_, 0, 0};
  return handle_ < 0 || (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0);
}

int connect_to(const std::string& address, steady_clock::time_point deadline,
               const std::function<void()>& check) {
  const auto [host, port] = split(address);
  std::chrono::milliseconds pause{5};
  std::string problem;
  // A limit of this process is no loss of the peer.
  ErrorCode code = ErrorCode::kUnavailable;
  while (true) {
    if (check) check();
    AddressList list;
    problem = resolve(host, port, false, list);
    for (const addrinfo* to = list.first; to != nullptr; to = to->ai_next) {
      const int fd = try_connect(*to, std::min(deadline, steady_clock::now() + kOneTry));
      if (fd >= 0) {
        send_at_once(fd);
        return fd;
      }
      const int error = errno;
      problem = std::strerror(error);
      code = code_of_errno(error) == ErrorCode::kResourceExhausted ? ErrorCode::kResourceExhausted
                                                                   : ErrorCode::kUnavailable;
    }
    if (steady_clock::now() + pause >= deadline) break;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(200));
  }
  throw Error(code, str_cat("cannot connect to ", address, ": ", problem));
}

GrpcListener::GrpcListener(const std::string& host, std::function<void(int)> on_accept)
    : on_accept_(std::move(on_accept)) {
  AddressList list;
  std::string problem = resolve(host, "0", true, list);
  ErrorCode code = ErrorCode::kInvalidArgument;  // no address
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  for (const addrinfo* at = list.first; at != nullptr && socket_ < 0; at = at->ai_next) {
    socket_ = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket_ >= 0 && bind(socket_, at->ai_addr, at->ai_addrlen) == 0 &&
        listen(socket_, 1024) == 0 &&
        getsockname(socket_, reinterpret_cast<sockaddr*>(&bound), &length) == 0) {
      break;
    }
    const int error = errno;
    problem = std::strerror(error);
    code = code_of_errno(error);
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  if (socket_ < 0) {
    throw Error(code, str_cat("cannot listen for peers on \"", host, "\": ", problem,
                              "; --listen names an address of this host"));
  }
  const uint16_t port = bound.ss_family == AF_INET6
                            ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                            : reinterpret_cast<const sockaddr_in&>(bound).sin_port;
  const bool bare_v6 = host.find(':') != std::string::npos && host.front() != '[';
  address_ = str_cat(bare_v6 ? "[" : "", host, bare_v6 ? "]" : "", ":", ntohs(port));
  stop_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "collective tcp");
}

GrpcListener::~GrpcListener() {
  stop();
  close(socket_);
  close(stop_);
}

void GrpcListener::stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) log_error("cannot stop the listener");
  thread_.join();
}

std::shared_ptr<GrpcConnection> GrpcListener::find(const std::string& grpc_name) const {
  int fd = -1;
  if (grpc_name.starts_with("fd:")) {
    std::from_chars(grpc_name.data() + 3, grpc_name.data() + grpc_name.size(), fd);
  }
  MutexLock lock(mutex_);
  const auto found = connections_.find(fd);
  return found == connections_.end() || found->second->is_over() ? nullptr : found->second;
}

void GrpcListener::accept_one() {
  const int fd = accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) {
      log_error(str_cat("cannot accept a peer on ", address_, ": ", std::strerror(errno)));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the backlog stays readable
    }
    return;
  }
  {
    MutexLock lock(mutex_);
    if (connections_.size() >= kMostConnections) {
      log_error(str_cat("refused a connection to ", address_, ": there are ", connections_.size()));
      close(fd);
      return;
    }
    connections_.insert_or_assign(fd, std::make_shared<GrpcConnection>(fd));
  }
  send_at_once(fd);
  on_accept_(fd);
}

void GrpcListener::run() {
  std::vector<pollfd> sockets;
  std::vector<int> names;
  while (true) {
    sockets.assign({{stop_, POLLIN, 0}, {socket_, POLLIN, 0}});
    names.assign(2, -1);
    {
      MutexLock lock(mutex_);
      for (const auto& [fd, connection] : connections_) {
        sockets.push_back({connection->handle(), 0, 0});  // only the end of it
        names.push_back(fd);
      }
    }
    if (poll(sockets.data(), sockets.size(), -1) < 0 && errno != EINTR) return;
    if (sockets[0].revents != 0) return;
    {
      MutexLock lock(mutex_);
      for (size_t i = 2; i < sockets.size(); ++i) {
        if (sockets[i].revents != 0) connections_.erase(names[i]);
      }
    }
    if (sockets[1].revents != 0) accept_one();
  }
}

}  // namespace trireme
