#include "distributed/metrics/metrics_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/cluster/address.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxConnections = 512, kMinConnections = 16;
constexpr size_t kShareOfDescriptors = 8;  // others of the process need them more
constexpr int kAcceptsInTurn = 64;
constexpr size_t kSpareDescriptors = 4;
constexpr std::chrono::minutes kWarnEvery{1};
// Of events; connections count from kFirstConnection.
constexpr uint64_t kStop = 0, kListener = 1, kFirstConnection = 2;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

Error cannot_bind(const MetricsAddress& address, const std::string& why, const char* advice) {
  return Error(ErrorCode::kInvalidArgument,
               str_cat("/metrics cannot be served on ",
                       cluster::to_string({address.host, address.port}), ": ", why, "; ", advice));
}

size_t max_connections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMinConnections;
  return std::clamp<rlim_t>(limit.rlim_cur / kShareOfDescriptors, kMinConnections, kMaxConnections);
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress socket_address(const MetricsAddress& address) {
  std::string numeric = address.host == "*" ? "0.0.0.0" : cluster::numeric_address(address.host);
  // A link-local address comes with its interface.
  numeric = numeric.substr(0, numeric.find('%'));
  SocketAddress result;
  const auto port = htons(static_cast<uint16_t>(address.port));
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, numeric.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    result.size = sizeof v4;
    std::memcpy(&result.storage, &v4, sizeof v4);
  } else if (inet_pton(AF_INET6, numeric.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    result.size = sizeof v6;
    std::memcpy(&result.storage, &v6, sizeof v6);
  } else {
    throw cannot_bind(address, "the name does not resolve", "give an address of this host");
  }
  return result;
}

Descriptor listen_on(const MetricsAddress& address) {
  SocketAddress at = socket_address(address);
  Descriptor listener(socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (listener.get() < 0 ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener.get(), at.get(), at.size) != 0 || listen(listener.get(), SOMAXCONN) != 0) {
    const bool is_taken = errno == EADDRINUSE;
    throw cannot_bind(address, std::strerror(errno),
                      is_taken
                          ? "choose another port, or 0 for any that is free"
                          : "give an address of this host, and a port that this user may bind");
  }
  return listener;
}

int port_of(int listener) {
  SocketAddress at;
  at.size = sizeof at.storage;
  TRIREME_CHECK(getsockname(listener, at.get(), &at.size) == 0, std::strerror(errno));
  return ntohs(at.storage.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in*>(&at.storage)->sin_port
                   : reinterpret_cast<const sockaddr_in6*>(&at.storage)->sin6_port);
}

}  // namespace

struct MetricsServer::Impl {
  Impl(const MetricsAddress& address, std::function<std::string()> text, const HttpTimes& times)
      : text_(std::move(text)),
        times_(times),
        listener_(listen_on(address)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        stop_(eventfd(0, EFD_CLOEXEC)) {
    if (epoll_.get() < 0 || stop_.get() < 0 || !watch(stop_.get(), kStop, EPOLLIN, EPOLL_CTL_ADD) ||
        !watch(listener_.get(), kListener, EPOLLIN, EPOLL_CTL_ADD)) {
      throw Error(ErrorCode::kResourceExhausted,
                  str_cat("/metrics cannot be served: ", std::strerror(errno)));
    }
    name_ = MetricsAddress{address.host, port_of(listener_.get())}.to_string();
    fill_spares();
    // Signals are for the threads that were there before.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "metrics");
      serve();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Impl() {
    const uint64_t one = 1;
    TRIREME_CHECK(write(stop_.get(), &one, sizeof one) == sizeof one);
    thread_.join();
  }

  const std::string& name() const { return name_; }

 private:
  using Connections = std::map<uint64_t, HttpConnection>;

  bool watch(int descriptor, uint64_t id, uint32_t events, int operation) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    return epoll_ctl(epoll_.get(), operation, descriptor, &event) == 0;
  }

  void serve() {
    std::array<epoll_event, 64> events{};
    while (true) {
      const int count = epoll_wait(epoll_.get(), events.data(), events.size(), timeout());
      const auto now = Clock::now();
      document_.reset();
      bool accepts = false;
      for (int i = 0; i < count; ++i) {
        const uint64_t id = events[static_cast<size_t>(i)].data.u64;
        if (id == kStop) return;
        accepts |= id == kListener;
        if (const auto found = connections_.find(id); found != connections_.end()) {
          advance(found, now);
        }
      }
      // After the others: their answers do not wait for new clients.
      for (int i = 0; accepts && i < kAcceptsInTurn; ++i) accepts = accept_one(now);
      close_late(now);
    }
  }

  void advance(Connections::iterator at, Clock::time_point now) {
    const bool wrote = at->second.wants_write();
    if (!at->second.advance(now)) return end(at);
    const bool writes = at->second.wants_write();
    if (writes == wrote) return;
    if (!watch(at->second.socket(), at->first, writes ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD)) end(at);
  }

  bool accept_one(Clock::time_point now) {
    int socket = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0 && (errno == EMFILE || errno == ENFILE)) {
      // Without room for it a connection would stay in the queue, and wake this thread for ever.
      if (spares_.empty()) {
        if (!end_oldest()) return false;
      } else {
        spares_.pop_back();
      }
      socket = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    if (socket < 0) return errno == ECONNABORTED || errno == EINTR;
    Descriptor owner(socket);
    // Of two answers in a row the second does not wait until the first is acknowledged.
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connections_.size() >= max_connections_) {
      warn_full(now);
      end_oldest();
    }
    const auto [at, added] = connections_.try_emplace(
        next_id_++, owner.release(), [this] { return document(); }, times_, now);
    if (watch(at->second.socket(), at->first, EPOLLIN, EPOLL_CTL_ADD)) {
      advance(at, now);  // its request may be there already
    } else {
      end(at);
    }
    return true;
  }

  // One text for all who ask at the same time.
  std::shared_ptr<const std::string> document() {
    if (!document_) document_ = std::make_shared<const std::string>(text_());
    return document_;
  }

  void end(Connections::iterator at) {
    connections_.erase(at);
    fill_spares();
  }

  // The one that has been silent for the longest; one that waits for its answer only when all do.
  bool end_oldest() {
    const auto oldest = std::ranges::min_element(connections_, {}, [](const auto& entry) {
      return std::pair(entry.second.wants_write(), entry.second.last_use());
    });
    if (oldest == connections_.end()) return false;
    end(oldest);
    return true;
  }

  void close_late(Clock::time_point now) {
    const size_t before = connections_.size();
    std::erase_if(connections_, [&](const auto& entry) { return entry.second.deadline() <= now; });
    if (connections_.size() < before) fill_spares();
  }

  int timeout() const {
    if (connections_.empty()) return -1;
    const auto next = std::ranges::min_element(connections_, {}, [](const auto& entry) {
                        return entry.second.deadline();
                      })->second.deadline();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::max<int64_t>(0, left));
  }

  void fill_spares() {
    while (spares_.size() < kSpareDescriptors) {
      Descriptor spare(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (spare.get() < 0) return;
      spares_.push_back(std::move(spare));
    }
  }

  void warn_full(Clock::time_point now) {
    if (warned_ && now - *warned_ < kWarnEvery) return;
    warned_ = now;
    log_warning(str_cat("/metrics at ", name_, " has ", max_connections_,
                        " connections; for each new one, the one that is silent for the longest is "
                        "closed"));
  }

  const std::function<std::string()> text_;
  const HttpTimes times_;
  const size_t max_connections_ = max_connections();
  const Descriptor listener_, epoll_, stop_;
  std::string name_;
  std::thread thread_;
  // Used by the thread alone.
  Connections connections_;
  uint64_t next_id_ = kFirstConnection;
  std::shared_ptr<const std::string> document_;  // of this turn
  std::vector<Descriptor> spares_;
  std::optional<Clock::time_point> warned_;
};

MetricsServer::MetricsServer(const MetricsAddress& address, std::function<std::string()> text,
                             const HttpTimes& times)
    : impl_(std::make_unique<Impl>(address, std::move(text), times)) {}

MetricsServer::~MetricsServer() = default;

std::string MetricsServer::address() const { return impl_->name(); }

}  // namespace trireme
