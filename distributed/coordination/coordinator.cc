// Puts the coordinator together, and lets it listen: the CoordinatorState, the directory of
// parameter servers, and the gRPC services of both.
#include "distributed/coordination/coordinator.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>

#include <thread>

#include "core/base/error.h"
#include "distributed/connection/acceptor.h"
#include "distributed/connection/draw_id.h"
#include "distributed/coordination/coordinator_service.h"
#include "distributed/coordination/coordinator_state.h"
#include "distributed/coordination/directory_service.h"
#include "distributed/coordination/directory_state.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/rpc/grpc_setup.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// After the last order of a stream it is closed with this.
constexpr milliseconds kShutdown{100};
constexpr milliseconds kPortIsFreed{3'000};
// A host that is cut off acknowledges nothing, and closes no connection.
constexpr milliseconds kUnacknowledged{20'000};
// What a task has open at a time is a handful of calls, each with a few short metadata.
constexpr int kStreamsOfATask = 64, kMetadataBytes = 8 << 10;
// Of all calls under way, several times what 4,096 tasks need: what is beyond is a fault, and must
// not take the machine along.
constexpr size_t kMemoryOfCalls = size_t{2} << 30;

CoordinatorOptions with_run(CoordinatorOptions options) {
  if (options.run.empty()) options.run = draw_id();
  return options;
}

}  // namespace

class Coordinator::Impl {
 public:
  explicit Impl(CoordinatorOptions options)
      : acceptor_({.host = options.listen,
                   .port = options.port,
                   .security = {.secret = options.secret, .encryption = options.encryption},
                   .job_id = options.job_id,
                   .what = "the coordinator",
                   .port_is_freed = kPortIsFreed,
                   .user_timeout = kUnacknowledged,
                   .log = options.log}),
        coordinator_state_(with_launchers(with_run(std::move(options)))),
        board_({.silence = coordinator_state_.options().heartbeat_timeout,
                .silence_when_suspected = coordinator_state_.options().heartbeat_timeout / 2,
                .hung_after = coordinator_state_.options().collective_timeout,
                .replace = coordinator_state_.options().replace},
               coordinator_state_.options().log,
               [this](const std::string& session, const Error& why) {
                 coordinator_state_.begin_again(session, why);
               }),
        service_(make_coordinator_service(coordinator_state_, board_, launchers_,
                                          [this](const Error& error) { fail(error); })),
        directory_service_(make_directory_service(board_, coordinator_state_)) {
    set_up_grpc();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMessageBytesLimit);
    builder.SetMaxSendMessageSize(kMessageBytesLimit);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsOfATask);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytes);
    builder.SetResourceQuota(grpc::ResourceQuota("coordinator").Resize(kMemoryOfCalls));
    builder.RegisterService(service_.get());
    builder.RegisterService(directory_service_.get());
    server_ = builder.BuildAndStart();
    TRIREME_CHECK(server_ != nullptr, "gRPC made no server");
    acceptor_.start([this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
  }

  ~Impl() {
    acceptor_.stop();
    coordinator_state_.stop();
    board_.stop();
    server_->Shutdown(std::chrono::system_clock::now() + kShutdown);
    server_->Wait();
  }

  std::string address() const { return acceptor_.address(); }
  const CoordinatorState& coordinator_state() const { return coordinator_state_; }
  Launchers& launchers() { return launchers_; }

  void fail(const Error& error) {
    coordinator_state_.fail(error);
    board_.fail(error);
  }
  int told_of_failure() const {
    return coordinator_state_.told_of_failure() + board_.told_of_failure();
  }

 private:
  CoordinatorOptions with_launchers(CoordinatorOptions options) {
    if (!options.replace) {
      options.replace = [this](const HungTask& task) { return launchers_.replace(task); };
    }
    if (!options.stop) {
      options.stop = [this](const StoppedTask& task) { launchers_.stop(task); };
    }
    return options;
  }

  Launchers launchers_;
  Acceptor acceptor_;
  CoordinatorState coordinator_state_;
  DirectoryState board_;
  const std::unique_ptr<grpc::Service> service_;
  const std::unique_ptr<grpc::Service> directory_service_;
  std::unique_ptr<grpc::Server> server_;
};

Coordinator::Coordinator(CoordinatorOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
Coordinator::~Coordinator() = default;

std::string Coordinator::address() const { return impl_->address(); }
std::string Coordinator::run() const { return impl_->coordinator_state().options().run; }
int64_t Coordinator::generation() const { return impl_->coordinator_state().generation(); }
int Coordinator::members() const { return impl_->coordinator_state().members(); }
void Coordinator::fail(const Error& error) { impl_->fail(error); }
int Coordinator::told_of_failure() const { return impl_->told_of_failure(); }
void Coordinator::add_launcher(Launcher launcher) { impl_->launchers().add(std::move(launcher)); }

}  // namespace trireme
