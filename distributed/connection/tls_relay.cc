#include "distributed/connection/tls_relay.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/system_error.h"
#include "core/base/thread_annotations.h"
#include "distributed/connection/relay_connection.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
using State = RelayConnection::State;

constexpr unsigned kMostThreads = 4;
constexpr int kPairBuffer = 4 << 20;  // as much of it as the system allows
constexpr std::chrono::seconds kDrainWithin(2);

Error system_failure(const std::string& what) {
  const int number = errno;
  return {code_of_errno(number),
          str_cat("TLS: ", what, " cannot be made: ", std::strerror(number))};
}

// A thread and the connections that it serves. Never destroyed: it runs as long as the process.
class RelayThread {
 public:
  RelayThread()
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (epoll_ < 0 || wake_ < 0) {
      const Error error = system_failure("a relay's epoll");
      if (epoll_ >= 0) close(epoll_);
      if (wake_ >= 0) close(wake_);
      throw error;
    }
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
    std::thread thread([this] { run(); });
    pthread_setname_np(thread.native_handle(), "tls relay");
    thread.detach();
  }

  void add(std::unique_ptr<RelayConnection> connection) {
    {
      MutexLock lock(mutex_);
      arrivals_.push_back(std::move(connection));
    }
    wake();
  }

  // Sends what gRPC wrote, then ends the thread.
  void drain() {
    const auto deadline = Clock::now() + kDrainWithin + std::chrono::milliseconds(100);
    MutexLock lock(mutex_);
    is_draining_ = true;
    wake();
    while (!is_drained_ && Clock::now() < deadline) drained_.wait_until(mutex_, deadline);
  }

 private:
  using Connections = std::vector<std::unique_ptr<RelayConnection>>;

  void wake() const {
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
  }

  void run() {
    Clock::time_point drain_by = Clock::time_point::max();
    while (true) {
      wait();
      const bool draining = take_arrivals();
      serve();
      close_late();
      if (!draining) continue;
      if (drain_by == Clock::time_point::max()) drain_by = Clock::now() + kDrainWithin;
      const bool drained = std::ranges::all_of(
          connections_, [](const auto& connection) { return connection->is_drained(); });
      if (!drained && Clock::now() < drain_by) continue;
      MutexLock lock(mutex_);
      is_drained_ = true;
      drained_.notify_all();
      return;
    }
  }

  void wait() {
    std::array<epoll_event, 128> events;
    const bool timed = is_any_closing_ || looks_for_end_;
    const int timeout = !queue_.empty() ? 0 : timed ? 50 : -1;
    const int count = epoll_wait(epoll_, events.data(), events.size(), timeout);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      auto* end = static_cast<RelayConnection::End*>(event.data.ptr);
      if (end == nullptr) {
        uint64_t calls = 0;
        (void)!read(wake_, &calls, sizeof calls);
        continue;
      }
      if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end->hung_up = true;
      if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) end->readable = true;
      if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) end->writable = true;
      enqueue(*end->connection);
    }
  }

  void enqueue(RelayConnection& connection) {
    if (!std::exchange(connection.is_queued, true)) queue_.push_back(&connection);
  }

  // Whether the process is about to end.
  bool take_arrivals() {
    Connections arrivals;
    {
      MutexLock lock(mutex_);
      arrivals.swap(arrivals_);
      looks_for_end_ = is_draining_;
    }
    for (auto& connection : arrivals) {
      for (RelayConnection::End* end : {&connection->network(), &connection->grpc()}) {
        epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                          .data = {.ptr = end}};
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, end->descriptor, &event) != 0) {
          end->ended = end->broken = true;  // as if it had been closed
        }
      }
      enqueue(*connection);
      connections_.push_back(std::move(connection));
    }
    return looks_for_end_;
  }

  void serve() {
    std::vector<RelayConnection*> turn;
    turn.swap(queue_);
    for (RelayConnection* connection : turn) {
      connection->is_queued = false;
      const State state = connection->move_bytes(scratch_);
      if (state != State::kEnded) watch_writing(connection->grpc());
      if (state == State::kMore) enqueue(*connection);
      if (state == State::kEnded) remove(connection);
      if (state == State::kWaiting && connection->close_by() != Clock::time_point::max()) {
        is_any_closing_ = true;
      }
    }
  }

  // A socket pair tells that it can be written to whenever a piece has been read from it, which
  // would wake this thread for nothing: that is asked only while something waits to be written.
  // (TCP tells it only then.)
  void watch_writing(RelayConnection::End& end) const {
    const bool wanted = !end.writable && !end.broken;
    if (wanted == end.watched_for_writing) return;
    end.watched_for_writing = wanted;
    const uint32_t writing = wanted ? uint32_t{EPOLLOUT} : 0;
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP | EPOLLET | writing, .data = {.ptr = &end}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, end.descriptor, &event);
  }

  void close_late() {
    if (!is_any_closing_) return;
    const auto now = Clock::now();
    is_any_closing_ = false;
    Connections left;
    for (auto& connection : connections_) {
      if (!connection->is_queued && connection->close_by() <= now) {
        connection->give_up();
        continue;
      }
      is_any_closing_ |= connection->close_by() != Clock::time_point::max();
      left.push_back(std::move(connection));
    }
    connections_ = std::move(left);
  }

  void remove(RelayConnection* connection) {
    const auto found =
        std::ranges::find(connections_, connection, [](const auto& owned) { return owned.get(); });
    std::swap(*found, connections_.back());
    connections_.pop_back();
  }

  const int epoll_, wake_;
  Mutex mutex_;
  ConditionVariable drained_;
  Connections arrivals_ GUARDED_BY(mutex_);
  bool is_draining_ GUARDED_BY(mutex_) = false;
  bool is_drained_ GUARDED_BY(mutex_) = false;

  // Of the thread.
  Connections connections_;
  std::vector<RelayConnection*> queue_;  // those with something to do
  RelayConnection::Scratch scratch_;
  bool is_any_closing_ = false, looks_for_end_ = false;
};

class Relay {
 public:
  static Relay& instance() {
    static Relay* const relay = [] {
      auto* made = new Relay;
      std::atexit([] { instance().drain(); });
      return made;
    }();
    return *relay;
  }

  void add(std::unique_ptr<RelayConnection> connection) {
    MutexLock lock(mutex_);
    // One more thread for each of the first connections.
    const size_t most = std::clamp(std::thread::hardware_concurrency() / 2, 1U, kMostThreads);
    const size_t index = next_++ % most;
    if (index == threads_.size()) threads_.push_back(new RelayThread);
    threads_[index]->add(std::move(connection));
  }

 private:
  void drain() {
    MutexLock lock(mutex_);
    for (RelayThread* thread : threads_) thread->drain();
  }

  Mutex mutex_;
  std::vector<RelayThread*> threads_ GUARDED_BY(mutex_);
  size_t next_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

int start_tls_relay(int socket, std::unique_ptr<TlsChannel> channel) {
  std::array<int, 2> pair{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
    const Error error = system_failure("a pair of sockets");
    close(socket);
    throw error;
  }
  for (const int end : pair) {
    setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kPairBuffer, sizeof kPairBuffer);
  }
  auto connection = std::make_unique<RelayConnection>(socket, pair[1], std::move(channel));
  try {
    Relay::instance().add(std::move(connection));
  } catch (...) {
    close(pair[0]);
    throw;
  }
  return pair[0];
}

}  // namespace trireme
