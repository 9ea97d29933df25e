// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include "distributed/coordination/launcher_service.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <utility>

#include "distributed/coordination/launchers.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using coordination::LauncherOrder;

// gRPC's own calls are made with the lock held, and never call back from within.
class LauncherReactor final : public grpc::ServerWriteReactor<LauncherOrder> {
 public:
  explicit LauncherReactor(Launchers& launchers) : launchers_(launchers) {}

  // `self` lives until the launcher is removed, and the call is over.
  static LauncherReactor* start(const coordination::LauncherMessage& message,
                                Launchers& launchers) {
    const auto self = std::make_shared<LauncherReactor>(launchers);
    self->self_ = self;
    self->id_ = launchers.add({.first_worker = message.first_worker(),
                               .workers = message.workers(),
                               .first_server = message.first_server(),
                               .servers = message.servers(),
                               .max_restarts = message.max_restarts(),
                               .replace =
                                   [self](const HungTask& task) {
                                     LauncherOrder order;
                                     coordination::HungMessage* hung = order.mutable_hung();
                                     hung->set_is_server(task.type == TaskType::kParameterServer);
                                     hung->set_index(task.index);
                                     hung->set_start(task.start);
                                     hung->set_running_for_ms(task.running_for.count());
                                     hung->set_why(task.why);
                                     self->push(std::move(order));
                                   },
                               .stop =
                                   [self](const StoppedTask& task) {
                                     LauncherOrder order;
                                     order.mutable_stopped()->set_who(task.who);
                                     order.mutable_stopped()->set_signal(task.signal);
                                     self->push(std::move(order));
                                   }});
    return self.get();
  }

 private:
  void push(LauncherOrder order) {
    MutexLock lock(mutex_);
    orders_.push_back(std::move(order));
    go_on();
  }

  void go_on() REQUIRES(mutex_) {
    if (writing_ || finished_) return;
    if (gone_) {
      finished_ = true;
      Finish(grpc::Status::OK);
    } else if (!orders_.empty()) {
      writing_ = true;
      order_ = std::move(orders_.front());
      orders_.pop_front();
      StartWrite(&order_);
    }
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    gone_ = gone_ || !ok;
    go_on();
  }

  void OnCancel() override {
    MutexLock lock(mutex_);
    gone_ = true;
    go_on();
  }

  void OnDone() override {
    launchers_.remove(id_);
    const auto last = std::move(self_);
  }

  Launchers& launchers_;
  std::shared_ptr<LauncherReactor> self_;
  int64_t id_ = 0;
  LauncherOrder order_;  // that is being written
  Mutex mutex_;
  std::deque<LauncherOrder> orders_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool gone_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<LauncherOrder>* serve_launcher(
    const coordination::LauncherMessage& message, Launchers& launchers) {
  return LauncherReactor::start(message, launchers);
}

}  // namespace trireme
