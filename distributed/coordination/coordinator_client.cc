#include "distributed/coordination/coordinator_client.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "distributed/connection/connection.h"
#include "distributed/coordination/attendance.h"
#include "distributed/coordination/rpc_channel.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using SystemClock = std::chrono::system_clock;

// What an answer may take besides the wait that was asked for.
constexpr milliseconds kMargin{5000};
constexpr milliseconds kGoodbye{1000};
constexpr size_t kTextLimit = 4096;
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);
constexpr milliseconds kGiveUpInterval{50};

uint64_t random_number() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) ^ device();
}

coordination::JoinMessage to_message(const JoinRequest& request, uint64_t task) {
  coordination::JoinMessage message;
  message.set_rank(request.rank);
  message.set_world_size(request.world_size);
  message.mutable_handshake()->insert(request.handshake.begin(), request.handshake.end());
  message.set_host(request.host);
  message.set_host_id(request.host_id);
  message.set_pid(request.pid);
  message.set_address(request.address);
  message.set_progress(request.progress);
  message.set_incarnation(request.incarnation);
  message.set_task(task);
  message.set_gave_up(clean(request.gave_up, kTextLimit));
  return message;
}

// Cancels a call when `give_up` says so. No thread when it is null.
class GiveUpWatch {
 public:
  GiveUpWatch(grpc::ClientContext* context, const std::function<bool()>& give_up) {
    if (!give_up) return;
    thread_ = std::jthread([this, context, &give_up](const std::stop_token& done) {
      std::unique_lock lock(mutex_);
      while (
          !changed_.wait_for(lock, done, kGiveUpInterval, [&] { return done.stop_requested(); })) {
        if (!give_up()) continue;
        context->TryCancel();
        return;
      }
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

}  // namespace

class CoordinatorClient::Impl {
 public:
  explicit Impl(ClientOptions options) : options_(std::move(options)), task_(random_number()) {
    line_ = connect_to_coordinator(target(), options_.connect_timeout, options_.give_up);
    if (line_.channel == nullptr) {
      throw_if_given_up();
      throw no_coordinator(options_.address, options_.connect_timeout);  // it thought better of it
    }
    stub_ = coordination::Coordination::NewStub(line_.channel);
  }

  ~Impl() {
    if (attendance_ != nullptr) attendance_->leave();
  }

  Greeting hello() {
    coordination::Greeting message;
    call(milliseconds(0), [&](grpc::ClientContext* context) {
      return stub_->Hello(context, coordination::Done(), &message);
    });
    if (session_.empty()) session_ = message.session();
    return {.join_timeout = milliseconds(
                std::clamp<int64_t>(message.join_timeout_ms(), 0, kLongestWait.count())),
            .run = message.run(),
            .session = message.session(),
            .reached = message.reached(),
            .lost_steps = message.lost_steps()};
  }

  Membership join(const JoinRequest& request) {
    try {
      return wait_to_join(request);
    } catch (const Error&) {
      if (options_.give_up && options_.give_up()) tell_stopped(request);
      throw_if_given_up();
      throw;
    }
  }

  // Who waits to be a member has no stream yet that says it.
  void tell_stopped(const JoinRequest& request) {
    const int signal = options_.stop_signal ? options_.stop_signal() : 0;
    if (signal == 0) return;
    coordination::StopMessage message;
    message.set_who(
        str_cat("rank ", request.rank, " (host ", request.host, ", pid ", request.pid, ")"));
    message.set_signal(signal);
    coordination::Done done;
    grpc::ClientContext context;
    context.set_deadline(SystemClock::now() + kGoodbye);
    stub_->Stop(&context, message, &done);  // a coordinator that is gone need not know
  }

  Membership wait_to_join(const JoinRequest& request) {
    const milliseconds timeout = hello().join_timeout;
    coordination::JoinMessage wanted = to_message(request, task_);
    wanted.set_session(session_);
    coordination::MembershipMessage message;
    call(timeout, [&](grpc::ClientContext* context) {
      const GiveUpWatch watch(context, options_.give_up);
      const auto answers = stub_->Join(context, wanted);
      if (!answers->Read(&message)) return answers->Finish();
      attend(message);
      context->TryCancel();  // it stayed open until the stream had taken over
      answers->Finish();
      return grpc::Status::OK;
    });
    return to_membership(message);
  }

  Attendance& attendance() {
    if (attendance_ == nullptr) throw invalid_argument("join() must come first");
    return *attendance_;
  }
  bool is_member() const { return attendance_ != nullptr; }

  void barrier(const std::string& name, milliseconds timeout) {
    coordination::BarrierMessage request;
    request.set_generation(attendance().generation());
    request.set_rank(attendance().rank());
    request.set_name(name);
    request.set_timeout_ms(timeout.count());
    coordination::Done done;
    call(timeout, [&](auto* context) { return stub_->Barrier(context, request, &done); });
  }

  void fail_job(const Error& error) {
    coordination::FailMessage request;
    request.set_message(clean(error.what(), kTextLimit));
    request.set_code(to_number(error.code()));
    coordination::Done done;
    call(milliseconds(0), [&](auto* context) { return stub_->Fail(context, request, &done); });
  }

  void put(const std::string& key, const std::string& value) {
    coordination::KeyValue request;
    request.set_key(key);
    request.set_value(value);
    coordination::Done done;
    call(milliseconds(0), [&](auto* context) { return stub_->Put(context, request, &done); });
  }

  std::string get(const std::string& key, milliseconds timeout) {
    coordination::KeyRequest request;
    request.set_key(key);
    request.set_timeout_ms(timeout.count());
    coordination::KeyValue result;
    call(timeout, [&](auto* context) { return stub_->Get(context, request, &result); });
    return std::move(*result.mutable_value());
  }

 private:
  void throw_if_given_up() const {
    if (!options_.give_up || !options_.give_up()) return;
    throw Error(ErrorCode::kCancelled, "stopped while waiting for the other workers");
  }

  void attend(const coordination::MembershipMessage& message) {
    // The stream of the generation before stayed open until here: by it the coordinator knew that
    // this task lives.
    attendance_.reset();
    attendance_ = std::make_unique<Attendance>(
        line_.channel,
        AttendanceOptions{.address = options_.address,
                          .generation = message.generation(),
                          .rank = message.rank(),
                          .heartbeat_interval = options_.heartbeat_interval,
                          .silence_timeout = milliseconds(std::clamp<int64_t>(
                              message.silence_timeout_ms(), 1000, kLongestWait.count())),
                          .stop_signal = options_.stop_signal});
    attendance_->wait_for_answer(kMargin);
  }

  CoordinatorTarget target() const {
    return {.address = options_.address,
            .security = {.secret = options_.secret, .encryption = options_.encryption},
            .job_id = options_.job_id};
  }

  template <typename Rpc>
  void call(milliseconds timeout, Rpc rpc) {
    if (line_.connection->is_over()) {
      line_ = connect_again(target());
      stub_ = coordination::Coordination::NewStub(line_.channel);
    }
    grpc::ClientContext context;
    context.set_deadline(SystemClock::now() + std::min(timeout, kLongestWait) + kMargin);
    const grpc::Status status = rpc(&context);
    if (!status.ok()) throw to_error(status, options_.address);
  }

  Membership to_membership(const coordination::MembershipMessage& message) const {
    Membership membership;
    membership.group.generation = message.generation();
    membership.group.rank = message.rank();
    membership.group.job_id = options_.job_id;
    membership.group.secret = options_.secret;
    membership.state_source = message.state_source();
    membership.progress = message.progress();
    const int size = message.peers_size();
    bool good = message.rank() >= 0 && message.rank() < size && message.state_source() >= 0 &&
                message.state_source() < size && message.progress() >= 0;
    for (const auto& peer : message.peers()) {
      good = good && peer.rank() == membership.group.size();
      membership.group.peers.push_back({.rank = peer.rank(),
                                        .host = peer.host(),
                                        .host_id = peer.host_id(),
                                        .pid = peer.pid(),
                                        .address = peer.address()});
    }
    if (!good) {
      throw data_loss("the coordinator at ", options_.address,
                      " has sent a membership that makes no sense");
    }
    return membership;
  }

  const ClientOptions options_;
  const uint64_t task_;
  std::string session_;  // that this client heard of first
  CoordinatorLine line_;
  std::unique_ptr<coordination::Coordination::Stub> stub_;
  std::unique_ptr<Attendance> attendance_;
};

CoordinatorClient::CoordinatorClient(ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
CoordinatorClient::~CoordinatorClient() = default;

Greeting CoordinatorClient::hello() { return impl_->hello(); }
Membership CoordinatorClient::join(const JoinRequest& request) { return impl_->join(request); }

void CoordinatorClient::attend(std::shared_ptr<const CollectiveWatch> watch,
                               std::function<void(const Error&)> on_fault) {
  impl_->attendance().set(std::move(watch), std::move(on_fault));
}

void CoordinatorClient::fail_job(const Error& error) { impl_->fail_job(error); }

void CoordinatorClient::report_fault(const Error& error) {
  if (impl_->is_member()) impl_->attendance().report(error);
}

void CoordinatorClient::barrier(const std::string& name, milliseconds timeout) {
  impl_->barrier(name, timeout);
}

void CoordinatorClient::put(const std::string& key, const std::string& value) {
  impl_->put(key, value);
}

std::string CoordinatorClient::get(const std::string& key, milliseconds timeout) {
  return impl_->get(key, timeout);
}

}  // namespace trireme
