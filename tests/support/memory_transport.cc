#include "tests/support/memory_transport.h"

#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "core/base/thread_annotations.h"

namespace trireme::testing {
namespace {

struct Hub {
  using Message = std::vector<std::byte>;
  explicit Hub(int n) : changed(static_cast<size_t>(n)) {}
  ConditionVariable& changed_for(int rank) { return changed[static_cast<size_t>(rank)]; }
  Mutex mutex;
  std::vector<ConditionVariable> changed;                                       // by who waits
  std::map<std::pair<int, int>, std::deque<Message>> queues GUARDED_BY(mutex);  // (from, to)
  std::optional<Error> cause GUARDED_BY(mutex);                                 // the first
};

class MemoryTransport final : public Transport {
 public:
  MemoryTransport(std::shared_ptr<Hub> hub, int rank) : hub_(std::move(hub)), rank_(rank) {}

  std::string description() const override { return "queues in memory"; }

  void start_send(int to, const void* data, size_t bytes) override {
    MutexLock lock(hub_->mutex);
    if (hub_->cause) throw *hub_->cause;
    const auto* begin = static_cast<const std::byte*>(data);
    hub_->queues[{rank_, to}].emplace_back(begin, begin + bytes);
    hub_->changed_for(to).notify_all();
  }

  void finish_sends(TimePoint /*deadline*/) override {}

  void receive(int from, void* data, size_t bytes, TimePoint deadline) override {
    MutexLock lock(hub_->mutex);
    auto& queue = hub_->queues[{from, rank_}];
    while (queue.empty()) {
      if (hub_->cause) throw *hub_->cause;
      if (!hub_->changed_for(rank_).wait_until(hub_->mutex, deadline) && queue.empty()) {
        throw Error(ErrorCode::kDeadlineExceeded, str_cat("rank ", from, " is late"));
      }
    }
    if (queue.front().size() != bytes) {
      throw data_loss("rank ", from, " sent ", queue.front().size(), " bytes, expected ", bytes);
    }
    std::memcpy(data, queue.front().data(), bytes);
    queue.pop_front();
  }

  void abort(const Error& cause) override {
    MutexLock lock(hub_->mutex);
    if (!hub_->cause) hub_->cause = cause;
    for (ConditionVariable& changed : hub_->changed) changed.notify_all();
  }

 private:
  const std::shared_ptr<Hub> hub_;
  const int rank_;
};

class FaultyTransport final : public Transport {
 public:
  FaultyTransport(std::unique_ptr<Transport> transport, TransportFault fault, int at)
      : transport_(std::move(transport)), fault_(fault), left_(at) {}

  std::string description() const override { return "faulty " + transport_->description(); }
  void start_send(int to, const void* data, size_t bytes) override {
    if (left_-- == 0) {
      const Error error(ErrorCode::kUnavailable, "the connection of the faulty rank broke");
      if (fault_ == TransportFault::kThrow) throw error;
      transport_->abort(error);
    }
    transport_->start_send(to, data, bytes);
  }
  void finish_sends(TimePoint deadline) override { transport_->finish_sends(deadline); }
  void receive(int from, void* data, size_t bytes, TimePoint deadline) override {
    transport_->receive(from, data, bytes, deadline);
  }
  void abort(const Error& cause) override { transport_->abort(cause); }

 private:
  const std::unique_ptr<Transport> transport_;
  const TransportFault fault_;
  int left_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_memory_transports(int n) {
  auto hub = std::make_shared<Hub>(n);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int rank = 0; rank < n; ++rank) {
    transports.push_back(std::make_unique<MemoryTransport>(hub, rank));
  }
  return transports;
}

std::unique_ptr<Transport> make_faulty_transport(std::unique_ptr<Transport> transport,
                                                 TransportFault fault, int at) {
  return std::make_unique<FaultyTransport>(std::move(transport), fault, at);
}

}  // namespace trireme::testing
