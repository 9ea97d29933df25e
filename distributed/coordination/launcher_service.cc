#include "distributed/coordination/launcher_service.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>

#include "distributed/coordination/launchers.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using coordination::LauncherOrder;

constexpr std::chrono::milliseconds kTick{100};  // whether the caller is gone has to be asked

class Orders {
 public:
  void push(LauncherOrder order) {
    MutexLock lock(mutex_);
    orders_.push_back(std::move(order));
    changed_.notify_all();
  }
  std::optional<LauncherOrder> next() {
    const auto until = std::chrono::steady_clock::now() + kTick;
    MutexLock lock(mutex_);
    if (orders_.empty()) changed_.wait_until(mutex_, until);
    if (orders_.empty()) return std::nullopt;
    LauncherOrder order = std::move(orders_.front());
    orders_.pop_front();
    return order;
  }

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<LauncherOrder> orders_ GUARDED_BY(mutex_);
};

}  // namespace

void serve_launcher(grpc::ServerContext& context, const coordination::LauncherMessage& message,
                    grpc::ServerWriter<LauncherOrder>& writer, Launchers& launchers) {
  const auto orders = std::make_shared<Orders>();
  const int64_t id =
      launchers.add({.first_worker = message.first_worker(),
                     .workers = message.workers(),
                     .first_server = message.first_server(),
                     .servers = message.servers(),
                     .max_restarts = message.max_restarts(),
                     .replace =
                         [orders](const HungTask& task) {
                           LauncherOrder order;
                           coordination::HungMessage* hung = order.mutable_hung();
                           hung->set_is_server(task.type == TaskType::kParameterServer);
                           hung->set_index(task.index);
                           hung->set_start(task.start);
                           hung->set_running_for_ms(task.running_for.count());
                           hung->set_why(task.why);
                           orders->push(std::move(order));
                         },
                     .stop =
                         [orders](const StoppedTask& task) {
                           LauncherOrder order;
                           order.mutable_stopped()->set_who(task.who);
                           order.mutable_stopped()->set_signal(task.signal);
                           orders->push(std::move(order));
                         }});
  while (!context.IsCancelled()) {
    const auto order = orders->next();
    if (order && !writer.Write(*order)) break;
  }
  launchers.remove(id);
}

}  // namespace trireme
