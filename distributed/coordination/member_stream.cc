// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include "distributed/coordination/member_stream.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "core/base/logging.h"
#include "distributed/collective/communicator.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using coordination::Order;
using std::chrono::milliseconds;

// How long a coordinator that lives may take to hear a goodbye: without it this task was lost.
// Where threads run late, so many times that more, up to a bound.
constexpr milliseconds kGoodbye{5'000}, kMostGoodbye{15'000};
constexpr int kLatenessFactor = 10;
constexpr milliseconds kGiveUpInterval{50};
constexpr size_t kMessageLimit = 4096;
constexpr size_t kWhatLimit = 1024;
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);

void set_join(const JoinRequest& request, uint64_t task, coordination::JoinMessage* message) {
  message->set_rank(request.rank);
  message->set_world_size(request.world_size);
  if (request.same_handshake) {
    message->set_same_handshake(true);
  } else {
    message->mutable_handshake()->insert(request.handshake.begin(), request.handshake.end());
  }
  message->set_host(request.host);
  message->set_host_id(request.host_id);
  message->set_pid(request.pid);
  message->set_address(request.address);
  message->set_progress(request.progress);
  message->set_incarnation(request.incarnation);
  message->set_session(request.session);
  message->set_task(task);
  message->set_gave_up(clean(request.gave_up, kMessageLimit));
}

void set_state(const CollectiveWatch::State& state, coordination::Beat* beat) {
  beat->set_entered(state.entered);
  beat->set_finished(state.finished);
  beat->set_step(state.step);
  beat->set_what(clean(state.what, kWhatLimit));
  if (!state.waiting()) return;
  const auto waiting = std::chrono::steady_clock::now() - state.since;
  beat->set_waiting_ms(std::chrono::duration_cast<milliseconds>(waiting).count());
}

}  // namespace

class MemberStream::Call {
 public:
  explicit Call(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)),
        stub_(coordination::Coordination::NewStub(channel_)),
        stream_(stub_->Attend(&context_)) {}
  bool write(const coordination::Beat& beat) { return stream_->Write(beat); }
  void writes_done() { stream_->WritesDone(); }
  bool read(Order* order) { return stream_->Read(order); }
  void cancel() { context_.TryCancel(); }
  grpc::Status finish() { return stream_->Finish(); }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<coordination::Coordination::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<coordination::Beat, Order>> stream_;
};

MemberStream::MemberStream(std::shared_ptr<grpc::Channel> channel, MemberStreamOptions options)
    : options_(std::move(options)),
      call_(std::make_unique<Call>(std::move(channel))),
      interval_(options_.heartbeat_interval),
      silence_timeout_(options_.silence_timeout) {
  beating_ = std::thread([this] { beat(); });
  reading_ = std::thread([this] { read_orders(); });
}

MemberStream::~MemberStream() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  call_->cancel();
  reading_.join();  // it joins the other one
}

Membership MemberStream::join(const JoinRequest& request, uint64_t task) {
  MutexLock lock(mutex_);
  on_fault_ = nullptr;
  watch_ = nullptr;
  attending_ = false;
  answer_.reset();
  auto message = std::make_unique<coordination::JoinMessage>();
  JoinRequest wanted = request;
  wanted.same_handshake = generation_ != 0 && request.handshake == handshake_;
  set_join(wanted, task, message.get());
  request_ = std::move(message);
  mine_ = {.host = request.host, .pid = request.pid, .address = request.address};
  interval_ = beat_interval(options_.heartbeat_interval, request.world_size);
  joining_ = true;
  changed_.notify_all();
  while (!answer_ && !ended_) {
    changed_.wait_until(mutex_, Clock::now() + kGiveUpInterval);
    if (answer_ || ended_ || !is_given_up()) continue;
    joining_ = false;
    throw Error(ErrorCode::kCancelled, "stopped while waiting for the other workers");
  }
  if (!answer_) throw Error(*ended_);
  if (const auto* error = std::get_if<Error>(&*answer_)) throw Error(*error);
  handshake_ = request.handshake;
  return std::get<Membership>(*std::exchange(answer_, std::nullopt));
}

bool MemberStream::is_over() const {
  MutexLock lock(mutex_);
  return over_;
}

int64_t MemberStream::generation() const {
  MutexLock lock(mutex_);
  return generation_;
}

int MemberStream::rank() const {
  MutexLock lock(mutex_);
  return rank_;
}

milliseconds MemberStream::lateness() const {
  MutexLock lock(mutex_);
  return lateness_.value(Clock::now());
}

void MemberStream::set(std::shared_ptr<const CollectiveWatch> watch,
                       std::function<void(const Error&)> on_fault) {
  MutexLock lock(mutex_);
  watch_ = std::move(watch);
  if (!attending_) on_fault_ = std::move(on_fault);
  attending_ = true;
  changed_.notify_all();
}

void MemberStream::report(const Error& error) {
  MutexLock lock(mutex_);
  if (!report_) report_ = error;
  changed_.notify_all();
}

void MemberStream::leave() {
  MutexLock lock(mutex_);
  leaving_ = true;
  changed_.notify_all();
  const auto deadline =
      Clock::now() +
      std::min(kGoodbye + kLatenessFactor * lateness_.value(Clock::now()), kMostGoodbye);
  while (!over_ && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
}

bool MemberStream::must_send() const {
  return request_ != nullptr || acknowledge_ || report_ || leaving_ || closing_ || over_;
}

bool MemberStream::send_next() {
  coordination::Beat beat;
  std::shared_ptr<const CollectiveWatch> watch;
  {
    MutexLock lock(mutex_);
    beat.set_generation(generation_);
    beat.set_late_ms(lateness_.value(Clock::now()).count());
    beat.set_leaving(leaving_);
    if (report_) {
      beat.set_fault(clean(report_->what(), kMessageLimit));
      if (beat.fault().empty()) beat.set_fault("a fault without a message");
      beat.set_fault_code(to_number(report_->code()));
      report_.reset();
    } else if (request_ != nullptr && !leaving_) {
      *beat.mutable_join() = std::move(*request_);
      request_.reset();
    }
    acknowledge_ = false;
    watch = watch_;
  }
  if (options_.stop_signal) beat.set_stop_signal(options_.stop_signal());
  if (watch != nullptr) set_state(watch->state(), &beat);
  if (!call_->write(beat)) return false;
  if (beat.leaving()) call_->writes_done();
  return !beat.leaving();
}

void MemberStream::beat() {
  pthread_setname_np(pthread_self(), "beat");
  auto next = Clock::now() + options_.heartbeat_interval;
  do {
    MutexLock lock(mutex_);
    while (!must_send() && Clock::now() < next) changed_.wait_until(mutex_, next);
    if (closing_ || over_) return;
    const auto now = Clock::now();
    if (now < next) continue;  // says at once what there is to say
    lateness_.note(std::chrono::floor<milliseconds>(now - next), now);
    // At a steady pace, but no burst after a pause.
    next = std::max(next + interval_, now);
    if (unanswered_++ * interval_ > silence_timeout_) {
      silent_ = true;
      call_->cancel();  // ends the read
      return;
    }
  } while (send_next());
}

void MemberStream::become_member(const coordination::MembershipMessage& message) {
  MutexLock lock(mutex_);
  try {
    auto membership = to_membership(message, mine_);
    generation_ = membership.group.generation;
    rank_ = membership.group.rank;
    acknowledge_ = true;
    interval_ = beat_interval(options_.heartbeat_interval, membership.group.size());
    silence_timeout_ =
        milliseconds(std::clamp<int64_t>(message.silence_timeout_ms(), 1000, kLongestWait.count()));
    answer(std::move(membership));
  } catch (const Error& error) {
    answer(error);
  }
}

void MemberStream::answer(std::variant<Membership, Error> answer) {
  answer_ = std::move(answer);
  joining_ = false;  // now, not when join() wakes up: the generation may have ended by then
  changed_.notify_all();
}

void MemberStream::deliver(const Error& fault) {
  std::function<void(const Error&)> on_fault;
  {
    MutexLock lock(mutex_);
    while (!attending_ && !closing_ && !leaving_ && !joining_) changed_.wait(mutex_);
    if (closing_ || leaving_ || !attending_) return;
    on_fault = std::exchange(on_fault_, nullptr);
  }
  if (on_fault) on_fault(fault);
}

void MemberStream::read_orders() {
  pthread_setname_np(pthread_self(), "orders");
  Order order;
  while (call_->read(&order)) {
    int64_t generation = 0;
    {
      MutexLock lock(mutex_);
      unanswered_ = 0;
      generation = generation_;
    }
    const std::string message = clean(order.message(), kMessageLimit);
    if (order.kind() == Order::STALL) {
      log_warning(message);
    } else if (order.kind() == Order::FAULT && order.generation() == generation) {
      deliver({to_code(order.code()), message});
    } else if (order.kind() == Order::MEMBER) {
      become_member(order.membership());
    } else if (order.kind() == Order::REFUSED) {
      MutexLock lock(mutex_);
      answer(Error(to_code(order.code()), message));
    }
  }
  std::optional<std::string> silence;
  {
    MutexLock lock(mutex_);
    over_ = true;
    if (silent_) silence = seconds_text(silence_timeout_);
    changed_.notify_all();
  }
  beating_.join();
  const grpc::Status status = call_->finish();
  const bool gone = status.ok() || (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                                    status.error_details().empty());
  Error why(ErrorCode::kUnavailable, str_cat("the coordinator at ", options_.address, " is gone"));
  if (silence) {
    why = {ErrorCode::kUnavailable,
           str_cat("the coordinator at ", options_.address, " has not answered for ", *silence)};
  } else if (!gone) {
    why = to_error(status, options_.address);
  }
  bool member = false;
  {
    MutexLock lock(mutex_);
    ended_ = why;
    member = generation_ != 0;
    changed_.notify_all();
  }
  if (member) deliver(why);
}

}  // namespace trireme
