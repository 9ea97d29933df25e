#include "distributed/coordination/launcher_link.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <chrono>
#include <thread>
#include <utility>

#include "core/base/logging.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kOneTry{500};
constexpr size_t kTextLimit = 4096;

}  // namespace

class LauncherLink::Impl {
 public:
  Impl(CoordinatorTarget target, Launcher launcher)
      : target_(std::move(target)), launcher_(std::move(launcher)), thread_([this] { run(); }) {}

  ~Impl() {
    {
      MutexLock lock(mutex_);
      closing_ = true;
      if (context_ != nullptr) context_->TryCancel();
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  void run() {
    pthread_setname_np(pthread_self(), "launcher link");
    bool told = false;
    for (;;) {
      grpc::ClientContext context;
      {
        MutexLock lock(mutex_);
        if (closing_) return;
        context_ = &context;
      }
      try {
        const auto line = connect_to_coordinator(target_, kOneTry, [this] { return closing(); });
        if (line.channel != nullptr) {
          follow(*coordination::Coordination::NewStub(line.channel), context);
        }
      } catch (const Error& error) {
        // Not to be mended by waiting: it is said once, and the tasks will say it too.
        if (error.code() != ErrorCode::kUnavailable && !std::exchange(told, true)) {
          log_warning(error.what());
        }
      }
      MutexLock lock(mutex_);
      context_ = nullptr;
      const auto next = std::chrono::steady_clock::now() + kOneTry;
      while (!closing_ && std::chrono::steady_clock::now() < next) {
        changed_.wait_until(mutex_, next);
      }
    }
  }

  // Until the line breaks.
  void follow(coordination::Coordination::Stub& stub, grpc::ClientContext& context) {
    coordination::LauncherMessage message;
    message.set_first_worker(launcher_.first_worker);
    message.set_workers(launcher_.workers);
    message.set_first_server(launcher_.first_server);
    message.set_servers(launcher_.servers);
    message.set_max_restarts(launcher_.max_restarts);
    const auto orders = stub.Launch(&context, message);
    coordination::LauncherOrder order;
    while (orders->Read(&order)) {
      if (order.has_hung()) {
        const coordination::HungMessage& hung = order.hung();
        launcher_.replace(
            {.type = hung.is_server() ? TaskType::kParameterServer : TaskType::kWorker,
             .index = hung.index(),
             .start = hung.start(),
             .running_for = milliseconds(hung.running_for_ms()),
             .why = clean(hung.why(), kTextLimit)});
      } else if (order.has_stopped()) {
        launcher_.stop(
            {.who = clean(order.stopped().who(), kTextLimit), .signal = order.stopped().signal()});
      }
    }
    orders->Finish();
  }

  bool closing() {
    MutexLock lock(mutex_);
    return closing_;
  }

  const CoordinatorTarget target_;
  const Launcher launcher_;
  Mutex mutex_;
  ConditionVariable changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ GUARDED_BY(mutex_) = nullptr;  // of the call that is under way
  std::thread thread_;
};

LauncherLink::LauncherLink(CoordinatorTarget target, Launcher launcher)
    : impl_(std::make_unique<Impl>(std::move(target), std::move(launcher))) {}
LauncherLink::~LauncherLink() = default;

}  // namespace trireme
