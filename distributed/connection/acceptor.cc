#include "distributed/connection/acceptor.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/system_error.h"
#include "distributed/connection/acceptor_loop.h"
#include "distributed/connection/file_limit.h"
#include "distributed/connection/secret.h"
#include "distributed/connection/socket_address.h"

namespace trireme {
namespace {

using std::chrono::steady_clock;

// As long as the system allows (net.core.somaxconn): thousands of tasks start at a time.
constexpr int kBacklog = 1 << 16;
constexpr std::chrono::milliseconds kPortIsAsked{50};

// The address of a socket that listens; -1 and errno when it cannot.
int listen_at(const addrinfo& at, int port, sockaddr_storage* bound) {
  const int fd = socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_storage address{};
  std::memcpy(&address, at.ai_addr, at.ai_addrlen);
  if (at.ai_family == AF_INET6) {
    // "::" is for both families.
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(static_cast<uint16_t>(port));
  } else {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(static_cast<uint16_t>(port));
  }
  socklen_t length = sizeof(*bound);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), at.ai_addrlen) == 0 &&
      listen(fd, kBacklog) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(bound), &length) == 0) {
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int number_of(const std::string& grpc_name) {
  int fd = -1;
  if (grpc_name.starts_with("fd:")) {
    std::from_chars(grpc_name.data() + 3, grpc_name.data() + grpc_name.size(), fd);
  }
  return fd;
}

}  // namespace

Acceptor::Acceptor(AcceptorOptions options) : options_(std::move(options)) {
  const std::string wanted =
      options_.port == 0 ? options_.host : join_address(options_.host, options_.port);
  const auto fail = [&](ErrorCode code, const std::string& why) {
    throw Error(code, str_cat(options_.what, " cannot listen on ", wanted, ": ", why));
  };
  std::string host = options_.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  AddressList list;
  const std::string unknown = list.resolve(host, std::to_string(options_.port), true);
  if (!unknown.empty()) fail(ErrorCode::kInvalidArgument, unknown);
  for (const addrinfo* at = list.first; at != nullptr; at = at->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (options_.security.secret.empty() && !is_loopback(address)) {
      throw no_secret(str_cat(options_.what, " on ", wanted));
    }
  }
  const auto deadline = steady_clock::now() + options_.port_is_freed;
  for (;;) {
    int error = 0;
    port_ = options_.port;
    for (const addrinfo* at = list.first; at != nullptr; at = at->ai_next) {
      sockaddr_storage bound{};
      const int fd = listen_at(*at, port_, &bound);
      if (fd < 0) {
        if (error == 0) error = errno;
        continue;
      }
      sockets_.push_back(fd);
      port_ = port_of(bound);  // the same one for all addresses of the name
    }
    if (!sockets_.empty()) break;
    if (error != EADDRINUSE || steady_clock::now() >= deadline) {
      fail(code_of_errno(error),
           str_cat(std::strerror(error),
                   error == EADDRINUSE      ? "; choose another port, or end what has it"
                   : error == EADDRNOTAVAIL ? "; --listen names an address of this host"
                                            : ""));
    }
    std::this_thread::sleep_for(kPortIsAsked);
  }
  address_ = join_address(options_.host, port_);
  stop_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_ < 0) {
    const int error = errno;
    for (const int socket : sockets_) close(socket);
    fail(code_of_errno(error), std::strerror(error));
  }
}

Acceptor::~Acceptor() {
  stop();
  for (const int socket : sockets_) close(socket);
  close(stop_);
}

void Acceptor::start(std::function<void(int)> on_accept) {
  AcceptorLoop::Events events{
      .on_welcome =
          [this, on_accept = std::move(on_accept)](int fd, const std::string& peer) {
            // Those that were accepted when there was room enough take more now.
            std::shared_ptr<Connection> connection;
            if (options_.keeps_connections) connection = std::make_shared<Connection>(fd);
            if (is_short_of_descriptors(fd) ||
                (connection != nullptr &&
                 (connection->handle() < 0 || is_short_of_descriptors(connection->handle())))) {
              close(fd);
              return false;
            }
            {
              MutexLock lock(mutex_);
              ++counts_.welcomed;
              peers_[fd] = peer;
              forget_what_is_over();
              if (connection != nullptr) connections_.insert_or_assign(fd, std::move(connection));
            }
            on_accept(fd);
            return true;
          },
      .on_refused =
          [this] {
            MutexLock lock(mutex_);
            ++counts_.refused;
          },
      .on_short =
          [this] {
            MutexLock lock(mutex_);
            forget_what_is_over();
          },
      .on_unproven =
          [this](size_t count) {
            MutexLock lock(mutex_);
            counts_.unproven = count;
          }};
  // Made here, so that a limit of the system is the caller's error.
  auto loop = std::make_shared<AcceptorLoop>(options_, address_, sockets_, stop_, events);
  thread_ = std::thread([loop] { loop->run(); });
  pthread_setname_np(thread_.native_handle(), "acceptor");
}

void Acceptor::forget_what_is_over() {
  std::erase_if(connections_, [](const auto& entry) { return entry.second->is_over(); });
}

void Acceptor::stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  if (write(stop_, &one, sizeof(one)) != sizeof(one)) log_error("cannot stop the acceptor");
  thread_.join();
}

std::string Acceptor::peer_of(const std::string& grpc_name) const {
  MutexLock lock(mutex_);
  const auto found = peers_.find(number_of(grpc_name));
  return found == peers_.end() ? grpc_name : found->second;
}

std::shared_ptr<Connection> Acceptor::find(const std::string& grpc_name) const {
  MutexLock lock(mutex_);
  const auto found = connections_.find(number_of(grpc_name));
  return found == connections_.end() || found->second->is_over() ? nullptr : found->second;
}

Acceptor::Counts Acceptor::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

}  // namespace trireme
