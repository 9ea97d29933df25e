// The gRPC side of the coordinator: messages in, calls of the Switchboard, messages out; it also
// hosts the directory of parameter servers.
#include "distributed/coordination/coordinator.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>

#include <atomic>
#include <thread>

#include "core/base/error.h"
#include "distributed/connection/acceptor.h"
#include "distributed/coordination/directory_board.h"
#include "distributed/coordination/directory_service.h"
#include "distributed/coordination/draw_id.h"
#include "distributed/coordination/launcher_service.h"
#include "distributed/coordination/rpc_answer.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/switchboard.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using grpc::ServerContext;
using grpc::Status;
using std::chrono::milliseconds;

constexpr size_t kWhatLimit = 1024;
constexpr size_t kTextLimit = 4096;
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
          .session = message.session()};
}

void to_message(const Membership& membership, coordination::MembershipMessage* message) {
  message->set_generation(membership.group.generation);
  message->set_rank(membership.group.rank);
  message->set_state_source(membership.state_source);
  message->set_progress(membership.progress);
  for (const auto& peer : membership.group.peers) {
    auto* entry = message->add_peers();
    entry->set_rank(peer.rank);
    entry->set_host(peer.host);
    entry->set_host_id(peer.host_id);
    entry->set_pid(peer.pid);
    entry->set_address(peer.address);
  }
}

MemberBeat to_beat(const coordination::Beat& message) {
  return {.entered = message.entered(),
          .finished = std::min(message.finished(), message.entered()),
          .step = message.step(),
          .what = clean(message.what(), kWhatLimit),
          .waiting = milliseconds(std::clamp<int64_t>(message.waiting_ms(), 0, INT32_MAX))};
}

class Service final : public coordination::Coordination::Service {
 public:
  Service(Switchboard& switchboard, DirectoryBoard& board, Launchers& launchers,
          std::function<void(const Error&)> fail_job)
      : switchboard_(switchboard),
        board_(board),
        launchers_(launchers),
        fail_job_(std::move(fail_job)) {}

  int told_of_failure() const { return told_of_failure_; }

  Status Hello(ServerContext*, const coordination::Done*,
               coordination::Greeting* greeting) override {
    return answer_rpc([&] {
      greeting->set_join_timeout_ms(switchboard_.options().join_timeout.count());
      greeting->set_run(switchboard_.options().run);
      greeting->set_session(board_.session());
      greeting->set_reached(board_.reached());
      greeting->set_lost_steps(board_.lost_steps());
    });
  }

  Status Join(ServerContext* context, const coordination::JoinMessage* request,
              grpc::ServerWriter<coordination::MembershipMessage>* writer) override {
    const Status status = answer_rpc([&] {
      const auto membership =
          switchboard_.join(to_request(*request), request->task(), gone(context));
      coordination::MembershipMessage message;
      to_message(membership, &message);
      const auto& options = switchboard_.options();
      message.set_silence_timeout_ms(
          std::max(options.collective_timeout, options.heartbeat_timeout).count());
      writer->Write(message);
      switchboard_.await_attendance(membership.group.generation, membership.group.rank,
                                    gone(context));
    });
    told_of_failure_ += status.ok() ? 0 : 1;
    return status;
  }

  Status Attend(
      ServerContext*,
      grpc::ServerReaderWriter<coordination::Order, coordination::Beat>* stream) override {
    return answer_rpc([&] { attend(stream); });
  }

  Status Fail(ServerContext*, const coordination::FailMessage* request,
              coordination::Done*) override {
    return answer_rpc([&] {
      ++told_of_failure_;  // it knows
      fail_job_({to_code(request->code()), clean(request->message(), kTextLimit)});
    });
  }

  Status Launch(ServerContext* context, const coordination::LauncherMessage* request,
                grpc::ServerWriter<coordination::LauncherOrder>* writer) override {
    return answer_rpc([&] { serve_launcher(*context, *request, *writer, launchers_); });
  }

  Status Stop(ServerContext*, const coordination::StopMessage* request,
              coordination::Done*) override {
    return answer_rpc([&] {
      switchboard_.options().stop(
          {.who = clean(request->who(), kWhatLimit), .signal = request->signal()});
    });
  }

  Status Barrier(ServerContext* context, const coordination::BarrierMessage* request,
                 coordination::Done*) override {
    return answer_rpc([&] {
      switchboard_.barrier(request->generation(), request->rank(), request->name(),
                           milliseconds(request->timeout_ms()), gone(context));
    });
  }

  Status Put(ServerContext*, const coordination::KeyValue* request, coordination::Done*) override {
    return answer_rpc([&] { switchboard_.put(request->key(), request->value()); });
  }

  Status Get(ServerContext* context, const coordination::KeyRequest* request,
             coordination::KeyValue* result) override {
    return answer_rpc([&] {
      result->set_value(
          switchboard_.get(request->key(), milliseconds(request->timeout_ms()), gone(context)));
    });
  }

 private:
  static Switchboard::CallerGone gone(ServerContext* context) {
    return [context] { return context->IsCancelled(); };
  }

  // Reads on this thread and writes on another, so that a member that does not read its orders is
  // heard nevertheless, and holds up nobody else.
  void attend(grpc::ServerReaderWriter<coordination::Order, coordination::Beat>* stream) {
    coordination::Beat message;
    if (!stream->Read(&message)) return;
    const int64_t generation = message.generation();
    const int rank = message.rank();
    const auto outbox = switchboard_.attend(generation, rank);
    std::thread writer([stream, outbox] { write(*stream, *outbox); });
    bool told = false;
    do {
      if (message.stop_signal() != 0 && !std::exchange(told, true)) {
        switchboard_.told_to_stop(generation, rank, message.stop_signal());
      }
      if (message.leaving()) {
        switchboard_.leave(generation, rank);
        continue;
      }
      switchboard_.beat(generation, rank, to_beat(message));
      if (!message.fault().empty()) {
        switchboard_.report(generation, rank,
                            Error(to_code(message.fault_code()), message.fault()));
      }
    } while (stream->Read(&message));
    switchboard_.detach(generation, rank);
    writer.join();
  }

  static void write(grpc::ServerReaderWriter<coordination::Order, coordination::Beat>& stream,
                    Outbox& outbox) {
    while (const auto letter = outbox.next()) {
      coordination::Order order;
      if (letter->fault) {
        order.set_kind(coordination::Order::FAULT);
        order.set_code(to_number(letter->fault->code()));
        order.set_message(letter->fault->what());
      } else if (!letter->stall.empty()) {
        order.set_kind(coordination::Order::STALL);
        order.set_message(letter->stall);
      }
      if (!stream.Write(order)) return;  // the reader hears of it too
    }
  }

  Switchboard& switchboard_;
  DirectoryBoard& board_;
  Launchers& launchers_;
  const std::function<void(const Error&)> fail_job_;
  std::atomic<int> told_of_failure_{0};
};

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
        switchboard_(with_launchers(with_run(std::move(options)))),
        board_({.silence = switchboard_.options().heartbeat_timeout,
                .silence_when_suspected = switchboard_.options().heartbeat_timeout / 2,
                .hung_after = switchboard_.options().collective_timeout,
                .replace = switchboard_.options().replace},
               switchboard_.options().log,
               [this](const std::string& session, const Error& why) {
                 switchboard_.begin_again(session, why);
               }),
        service_(switchboard_, board_, launchers_, [this](const Error& error) { fail(error); }),
        directory_service_(make_directory_service(board_, switchboard_)) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMessageBytesLimit);
    builder.SetMaxSendMessageSize(kMessageBytesLimit);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsOfATask);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytes);
    builder.SetResourceQuota(grpc::ResourceQuota("coordinator").Resize(kMemoryOfCalls));
    builder.RegisterService(&service_);
    builder.RegisterService(directory_service_.get());
    server_ = builder.BuildAndStart();
    TRIREME_CHECK(server_ != nullptr, "gRPC made no server");
    acceptor_.start([this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
  }

  ~Impl() {
    acceptor_.stop();
    switchboard_.stop();
    board_.stop();
    server_->Shutdown(std::chrono::system_clock::now() + kShutdown);
    server_->Wait();
  }

  std::string address() const { return acceptor_.address(); }
  const Switchboard& switchboard() const { return switchboard_; }
  Launchers& launchers() { return launchers_; }

  void fail(const Error& error) {
    switchboard_.fail(error);
    board_.fail(error);
  }
  int told_of_failure() const { return service_.told_of_failure() + board_.told_of_failure(); }

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
  Switchboard switchboard_;
  DirectoryBoard board_;
  Service service_;
  const std::unique_ptr<grpc::Service> directory_service_;
  std::unique_ptr<grpc::Server> server_;
};

Coordinator::Coordinator(CoordinatorOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
Coordinator::~Coordinator() = default;

std::string Coordinator::address() const { return impl_->address(); }
std::string Coordinator::run() const { return impl_->switchboard().options().run; }
int64_t Coordinator::generation() const { return impl_->switchboard().generation(); }
int Coordinator::members() const { return impl_->switchboard().members(); }
void Coordinator::fail(const Error& error) { impl_->fail(error); }
int Coordinator::told_of_failure() const { return impl_->told_of_failure(); }
void Coordinator::add_launcher(Launcher launcher) { impl_->launchers().add(std::move(launcher)); }

}  // namespace trireme
