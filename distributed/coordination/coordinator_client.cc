#include "distributed/coordination/coordinator_client.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <random>

#include "core/base/thread_annotations.h"
#include "distributed/connection/connection.h"
#include "distributed/coordination/member_stream.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/coordination/rpc_channel.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using SystemClock = std::chrono::system_clock;

// What an answer may take besides the wait that was asked for, on a quiet machine; where threads
// run late it is so many times that more, up to a bound.
constexpr milliseconds kMargin{10'000};
constexpr int kLatenessFactor = 10;
constexpr milliseconds kMostMargin{60'000};
constexpr milliseconds kGoodbye{1000};
constexpr size_t kTextLimit = 4096;
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);

uint64_t random_number() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) ^ device();
}

// The connection for calls, for as long as somebody may still look peers up. Any thread.
class Calls {
 public:
  using Stub = coordination::Coordination::Stub;

  // Waits until the coordinator is there. Throws as CoordinatorClient's constructor.
  explicit Calls(ClientOptions options)
      : options_(std::move(options)), line_(connect()), stub_(make_stub(line_)) {}

  const ClientOptions& options() const { return options_; }

  // Another connection.
  CoordinatorLine connect() const {
    auto line = connect_to_coordinator(target(), options_.connect_timeout, options_.give_up);
    if (line.channel != nullptr) return line;
    throw_if_given_up();
    throw no_coordinator(options_.address, options_.connect_timeout);  // it thought better of it
  }

  // `margin`: what the answer may take besides the wait that was asked for.
  template <typename Rpc>
  void call(milliseconds timeout, milliseconds margin, Rpc rpc) EXCLUDES(mutex_) {
    const auto stub = connected();
    grpc::ClientContext context;
    context.set_deadline(SystemClock::now() + std::min(timeout, kLongestWait) + margin);
    const grpc::Status status = rpc(*stub, &context);
    if (!status.ok()) throw to_error(status, options_.address);
  }

  bool is_given_up() const { return options_.give_up && options_.give_up(); }
  void throw_if_given_up() const {
    if (!is_given_up()) return;
    throw Error(ErrorCode::kCancelled, "stopped while waiting for the other workers");
  }

 private:
  static std::shared_ptr<Stub> make_stub(const CoordinatorLine& line) {
    return coordination::Coordination::NewStub(line.channel);
  }

  CoordinatorTarget target() const {
    return {.address = options_.address,
            .security = {.secret = options_.secret, .encryption = options_.encryption},
            .job_id = options_.job_id};
  }

  std::shared_ptr<Stub> connected() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (line_.connection->is_over()) {
      line_ = connect_again(target());
      stub_ = make_stub(line_);
    }
    return stub_;
  }

  const ClientOptions options_;
  Mutex mutex_;
  CoordinatorLine line_ GUARDED_BY(mutex_);
  std::shared_ptr<Stub> stub_ GUARDED_BY(mutex_);
};

std::vector<Peer> look_up(Calls& calls, int64_t generation, const std::vector<int>& ranks) {
  coordination::PeersRequest request;
  request.set_generation(generation);
  request.mutable_ranks()->Add(ranks.begin(), ranks.end());
  coordination::PeersAnswer answer;
  calls.call(milliseconds(0), kMargin + kMostMargin,
             [&](auto& stub, auto* context) { return stub.Peers(context, request, &answer); });
  std::vector<Peer> peers;
  for (const auto& peer : answer.peers()) peers.push_back(to_peer(peer));
  bool good = peers.size() == ranks.size();
  for (size_t i = 0; good && i < peers.size(); ++i) good = peers[i].rank == ranks[i];
  if (good) return peers;
  throw data_loss("the coordinator at ", calls.options().address, " was asked for ",
                  name_ranks(ranks), " of generation ", generation, " and answered for others");
}

}  // namespace

class CoordinatorClient::Impl {
 public:
  explicit Impl(ClientOptions options)
      : task_(random_number()), calls_(std::make_shared<Calls>(std::move(options))) {}

  ~Impl() {
    if (stream_ != nullptr) stream_->leave();
  }

  Greeting hello() {
    coordination::Greeting message;
    call(milliseconds(0), [&](auto& stub, auto* context) {
      return stub.Hello(context, coordination::Done(), &message);
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
      if (calls_->is_given_up()) {
        tell_stopped(request);
        stream_.reset();
      }
      calls_->throw_if_given_up();
      throw;
    }
  }

  void barrier(const std::string& name, milliseconds timeout) {
    coordination::BarrierMessage request;
    request.set_generation(stream().generation());
    request.set_rank(stream().rank());
    request.set_name(name);
    request.set_timeout_ms(timeout.count());
    coordination::Done done;
    call(timeout, [&](auto& stub, auto* context) { return stub.Barrier(context, request, &done); });
  }

  void fail_job(const Error& error) {
    coordination::FailMessage request;
    request.set_message(clean(error.what(), kTextLimit));
    request.set_code(to_number(error.code()));
    coordination::Done done;
    call(milliseconds(0),
         [&](auto& stub, auto* context) { return stub.Fail(context, request, &done); });
  }

  void put(const std::string& key, const std::string& value) {
    coordination::KeyValue request;
    request.set_key(key);
    request.set_value(value);
    coordination::Done done;
    call(milliseconds(0),
         [&](auto& stub, auto* context) { return stub.Put(context, request, &done); });
  }

  std::string get(const std::string& key, milliseconds timeout) {
    coordination::KeyRequest request;
    request.set_key(key);
    request.set_timeout_ms(timeout.count());
    coordination::KeyValue result;
    call(timeout, [&](auto& stub, auto* context) { return stub.Get(context, request, &result); });
    return std::move(*result.mutable_value());
  }

  MemberStream& stream() {
    if (!is_member()) throw invalid_argument("join() must come first");
    return *stream_;
  }
  bool is_member() const { return stream_ != nullptr && stream_->generation() != 0; }

 private:
  const ClientOptions& options() const { return calls_->options(); }
  template <typename Rpc>
  void call(milliseconds timeout, Rpc rpc) {
    const auto late = stream_ == nullptr ? milliseconds(0) : stream_->lateness();
    calls_->call(timeout, kMargin + std::min(kLatenessFactor * late, kMostMargin), rpc);
  }

  Membership wait_to_join(const JoinRequest& request) {
    // One that ended is no sign of life any more; a coordinator that lives may be another one.
    if (stream_ != nullptr && stream_->is_over()) stream_.reset();
    if (stream_ == nullptr) {
      hello();
      stream_ = std::make_unique<MemberStream>(
          calls_->connect().channel,
          MemberStreamOptions{.address = options().address,
                              .heartbeat_interval = options().heartbeat_interval,
                              .give_up = options().give_up,
                              .stop_signal = options().stop_signal});
    }
    JoinRequest wanted = request;
    wanted.session = session_;
    Membership membership = stream_->join(wanted, task_);
    membership.group.job_id = options().job_id;
    membership.group.secret = options().secret;
    if (membership.group.size() > kLargestNamedGroup) {
      membership.group.look_up = [calls = calls_, generation = membership.group.generation](
                                     const std::vector<int>& ranks) {
        return look_up(*calls, generation, ranks);
      };
    }
    return membership;
  }

  // Who waits to be a member may be asked to stop before its line has said so.
  void tell_stopped(const JoinRequest& request) {
    const int signal = options().stop_signal ? options().stop_signal() : 0;
    if (signal == 0) return;
    coordination::StopMessage message;
    message.set_who(
        str_cat("rank ", request.rank, " (host ", request.host, ", pid ", request.pid, ")"));
    message.set_signal(signal);
    coordination::Done done;
    try {
      calls_->call(milliseconds(0), kGoodbye,
                   [&](auto& stub, auto* context) { return stub.Stop(context, message, &done); });
    } catch (const Error&) {
      // A coordinator that is gone need not know.
    }
  }

  const uint64_t task_;
  std::string session_;  // that this client heard of first
  const std::shared_ptr<Calls> calls_;
  std::unique_ptr<MemberStream> stream_;
};

CoordinatorClient::CoordinatorClient(ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
CoordinatorClient::~CoordinatorClient() = default;

Greeting CoordinatorClient::hello() { return impl_->hello(); }
Membership CoordinatorClient::join(const JoinRequest& request) { return impl_->join(request); }

void CoordinatorClient::attend(std::shared_ptr<const CollectiveWatch> watch,
                               std::function<void(const Error&)> on_fault) {
  impl_->stream().set(std::move(watch), std::move(on_fault));
}

void CoordinatorClient::fail_job(const Error& error) { impl_->fail_job(error); }

void CoordinatorClient::report_fault(const Error& error) {
  if (impl_->is_member()) impl_->stream().report(error);
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
