#include "distributed/coordination/attendance.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "core/base/logging.h"
#include "distributed/collective/communicator.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGoodbye{1000};
constexpr size_t kWhatLimit = 1024;
constexpr size_t kMessageLimit = 4096;

}  // namespace

class Attendance::Stream {
 public:
  explicit Stream(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(coordination::Coordination::NewStub(channel)) {
    stream_ = stub_->Attend(&context_);
  }
  bool write(const coordination::Beat& beat) { return stream_->Write(beat); }
  void writes_done() { stream_->WritesDone(); }
  bool read(coordination::Order* order) { return stream_->Read(order); }
  void cancel() { context_.TryCancel(); }
  grpc::Status finish() { return stream_->Finish(); }

 private:
  std::unique_ptr<coordination::Coordination::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<coordination::Beat, coordination::Order>> stream_;
};

Attendance::Attendance(const std::shared_ptr<grpc::Channel>& channel, AttendanceOptions options)
    : options_(std::move(options)), stream_(std::make_unique<Stream>(channel)) {
  beating_ = std::thread([this] { beat(); });
  reading_ = std::thread([this] { read_orders(); });
}

Attendance::~Attendance() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  stream_->cancel();
  beating_.join();
  reading_.join();
  stream_->finish();
}

void Attendance::wait_for_answer(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  MutexLock lock(mutex_);
  while (!answered_ && !ended_ && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
}

void Attendance::set(std::shared_ptr<const CollectiveWatch> watch,
                     std::function<void(const Error&)> on_fault) {
  MutexLock lock(mutex_);
  watch_ = std::move(watch);
  if (!attending_) on_fault_ = std::move(on_fault);
  attending_ = true;
  changed_.notify_all();
}

void Attendance::report(const Error& error) {
  MutexLock lock(mutex_);
  if (!report_) report_ = error;
  changed_.notify_all();
}

void Attendance::leave() {
  MutexLock lock(mutex_);
  leaving_ = true;
  changed_.notify_all();
  const auto deadline = Clock::now() + kGoodbye;
  while (!ended_ && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
}

bool Attendance::send_beat() {
  coordination::Beat beat;
  beat.set_generation(options_.generation);
  beat.set_rank(options_.rank);
  std::shared_ptr<const CollectiveWatch> watch;
  bool leaving = false;
  {
    MutexLock lock(mutex_);
    watch = watch_;
    leaving = leaving_;
    if (report_) {
      beat.set_fault(clean(report_->what(), kMessageLimit));
      if (beat.fault().empty()) beat.set_fault("a fault without a message");
      beat.set_fault_code(to_number(report_->code()));
      report_.reset();
    }
  }
  beat.set_leaving(leaving);
  if (options_.stop_signal) beat.set_stop_signal(options_.stop_signal());
  if (watch != nullptr) {
    const auto state = watch->state();
    beat.set_entered(state.entered);
    beat.set_finished(state.finished);
    beat.set_step(state.step);
    beat.set_what(clean(state.what, kWhatLimit));
    if (state.waiting()) {
      beat.set_waiting_ms(
          std::chrono::duration_cast<milliseconds>(Clock::now() - state.since).count());
    }
  }
  if (!stream_->write(beat)) return false;
  if (leaving) stream_->writes_done();
  return !leaving;
}

void Attendance::beat() {
  pthread_setname_np(pthread_self(), "beat");
  auto next = Clock::now();
  while (send_beat()) {
    // At a steady pace, but no burst after a pause.
    next = std::max(next + options_.heartbeat_interval, Clock::now());
    MutexLock lock(mutex_);
    while (!closing_ && !ended_ && !leaving_ && !report_ && Clock::now() < next) {
      changed_.wait_until(mutex_, next);
    }
    if (closing_ || ended_) return;
    if (++unanswered_ * options_.heartbeat_interval > options_.silence_timeout) {
      silent_ = true;
      stream_->cancel();  // ends the read
      return;
    }
  }
}

void Attendance::deliver(const Error& fault) {
  std::function<void(const Error&)> on_fault;
  {
    MutexLock lock(mutex_);
    while (!attending_ && !closing_ && !leaving_) changed_.wait(mutex_);
    if (closing_ || leaving_) return;
    on_fault = std::exchange(on_fault_, nullptr);
  }
  if (on_fault) on_fault(fault);
}

void Attendance::read_orders() {
  pthread_setname_np(pthread_self(), "orders");
  bool delivered = false;
  coordination::Order order;
  while (stream_->read(&order)) {
    {
      MutexLock lock(mutex_);
      unanswered_ = 0;
      if (!std::exchange(answered_, true)) changed_.notify_all();
    }
    if (order.kind() == coordination::Order::STALL) {
      log_warning(clean(order.message(), kMessageLimit));
    } else if (order.kind() == coordination::Order::FAULT && !delivered) {
      delivered = true;
      deliver({to_code(order.code()), clean(order.message(), kMessageLimit)});
    }
  }
  bool silent = false;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    silent = silent_;
    changed_.notify_all();
  }
  if (delivered) return;
  deliver({ErrorCode::kUnavailable,
           silent ? str_cat("the coordinator at ", options_.address, " has not answered for ",
                            seconds_text(options_.silence_timeout))
                  : str_cat("the coordinator at ", options_.address, " is gone")});
}

}  // namespace trireme
