// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include "distributed/coordination/member_reactor.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "distributed/coordination/coordinator_state.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using coordination::Beat;
using coordination::Order;
using std::chrono::milliseconds;

constexpr size_t kWhatLimit = 1024;
constexpr size_t kTextLimit = 4096;
// Of a member that does not read: beyond the first, only what it must know; beyond the second, its
// line ends.
constexpr size_t kOrders = 64, kMostOrders = 256;

JoinRequest to_request(const coordination::JoinMessage& message) {
  return {.rank = message.rank(),
          .world_size = message.world_size(),
          .handshake = {message.handshake().begin(), message.handshake().end()},
          .host = message.host(),
          .host_id = message.host_id(),
          .pid = message.pid(),
          .address = message.address(),
          .progress = message.progress(),
          .gave_up = clean(message.gave_up(), kTextLimit),
          .incarnation = message.incarnation(),
          .session = message.session(),
          .same_handshake = message.same_handshake()};
}

MemberBeat to_beat(const Beat& message) {
  return {.entered = message.entered(),
          .finished = std::min(message.finished(), message.entered()),
          .step = message.step(),
          .what = clean(message.what(), kWhatLimit),
          .waiting = milliseconds(std::clamp<int64_t>(message.waiting_ms(), 0, INT32_MAX))};
}

// The lock guards what is to be written and whether the call may still be used; gRPC's own calls
// are made with it held, and never call back from within.
class MemberReactor final : public MemberConnection, public grpc::ServerBidiReactor<Beat, Order> {
 public:
  static MemberReactor* start(grpc::CallbackServerContext& context,
                              CoordinatorState& coordinator_state) {
    const std::shared_ptr<MemberReactor> line(new MemberReactor(context, coordinator_state));
    line->self_ = line;
    line->begin();
    return line.get();
  }

  void enqueue(Order order) override {
    MutexLock lock(mutex_);
    if (closing_ || (order.kind() == Order::STALL && orders_.size() >= kOrders)) return;
    if (orders_.size() >= kMostOrders) {
      broken_ = true;
      return;
    }
    orders_.push_back(std::move(order));
  }

  void enqueue_sign_of_life() override {
    MutexLock lock(mutex_);
    if (!closing_ && !writing_ && orders_.empty()) orders_.emplace_back();
  }

  void send() override {
    MutexLock lock(mutex_);
    go_on();
  }

  void close() override { close_with(grpc::Status::OK); }

 private:
  MemberReactor(grpc::CallbackServerContext& context, CoordinatorState& coordinator_state)
      : context_(context), coordinator_state_(coordinator_state) {}

  void begin() {
    try {
      coordinator_state_.attach(self_);
    } catch (const Error& error) {
      return close_with(to_status(error));
    }
    MutexLock lock(mutex_);
    StartRead(&beat_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      coordinator_state_.detach(self_);
      return close();
    }
    try {
      take(beat_);
    } catch (const Error& error) {
      coordinator_state_.detach(self_);
      return close_with(to_status(error));
    }
    MutexLock lock(mutex_);
    if (!finished_) StartRead(&beat_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) orders_.clear();  // the reader hears of it too
    go_on();
  }

  void OnDone() override { const auto last = std::move(self_); }

  void take(const Beat& message) {
    if (message.stop_signal() != 0) coordinator_state_.told_to_stop(*this, message.stop_signal());
    if (message.has_join()) {
      coordinator_state_.join(self_, to_request(message.join()), message.join().task());
      return;
    }
    if (message.leaving()) {
      coordinator_state_.leave(*this);
      return;
    }
    const milliseconds late(std::clamp<int64_t>(message.late_ms(), 0, INT32_MAX));
    coordinator_state_.beat(self_, message.generation(), to_beat(message), late);
    if (!message.fault().empty()) {
      coordinator_state_.report(*this, message.generation(),
                                Error(to_code(message.fault_code()), message.fault()));
    }
  }

  void close_with(const grpc::Status& status) {
    MutexLock lock(mutex_);
    if (closing_) return;
    closing_ = true;
    status_ = status;
    go_on();
  }

  // Writes what is next, or finishes when nothing is left and nothing more will come.
  void go_on() REQUIRES(mutex_) {
    if (finished_) return;
    if (broken_ && !std::exchange(cancelled_, true)) context_.TryCancel();
    if (writing_) return;
    if (!orders_.empty()) {
      writing_ = true;
      order_ = std::move(orders_.front());
      orders_.pop_front();
      StartWrite(&order_);
    } else if (closing_) {
      finished_ = true;
      Finish(status_);
    }
  }

  grpc::CallbackServerContext& context_;
  CoordinatorState& coordinator_state_;
  std::shared_ptr<MemberReactor> self_;  // until the call is over
  Beat beat_;                            // that is being read
  Order order_;                          // that is being written
  Mutex mutex_;
  std::deque<Order> orders_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool broken_ GUARDED_BY(mutex_) = false, cancelled_ GUARDED_BY(mutex_) = false;
  bool closing_ GUARDED_BY(mutex_) = false;
  grpc::Status status_ GUARDED_BY(mutex_);
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerBidiReactor<Beat, Order>* serve_member(grpc::CallbackServerContext& context,
                                                   CoordinatorState& coordinator_state) {
  return MemberReactor::start(context, coordinator_state);
}

}  // namespace trireme
