#include "distributed/coordination/directory_service.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "distributed/coordination/coordinator_state.h"
#include "distributed/coordination/directory_messages.h"
#include "distributed/coordination/directory_state.h"
#include "distributed/coordination/rpc_answer.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.grpc.pb.h"

namespace trireme {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::Status;
using std::chrono::milliseconds;
constexpr size_t kErrorLimit = 1024;

std::string name_of(const directory::Announcement& who) {
  return who.has_server() ? str_cat("parameter server ", who.server().index()) : "a worker";
}

// Shares the bytes with whoever else is sent them.
ByteBuffer to_buffer(ViewHistory::Bytes bytes) {
  auto* owner = new ViewHistory::Bytes(std::move(bytes));
  const grpc::Slice slice(
      const_cast<char*>((*owner)->data()), (*owner)->size(),  // only read
      [](void* o) { delete static_cast<ViewHistory::Bytes*>(o); }, owner);
  return ByteBuffer(&slice, 1);
}

// One task's stream. It owns itself until gRPC is done with it; one message is on its way at most,
// so a task that does not read costs no more than that, and is heard nevertheless.
class DirectoryStream final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>,
                              public std::enable_shared_from_this<DirectoryStream> {
 public:
  DirectoryStream(DirectoryState& board, CoordinatorState& coordinator_state)
      : board_(board), coordinator_state_(coordinator_state) {}

  void begin() {
    self_ = shared_from_this();
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return end(Status::OK);
    directory::Report report;
    const Status parsed =
        grpc::SerializationTraits<directory::Report>::Deserialize(&incoming_, &report);
    if (!parsed.ok()) return end(parsed);
    const bool wants_view = watcher_ == nullptr || report.want_whole();
    const Status status = answer_rpc([&] {
      check(report);
      if (watcher_ == nullptr) attend(report);
      hear(report);
    });
    if (!status.ok()) return end(status);
    if (wants_view) send();
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (end_) return Finish(*end_);
      if (!ok) return;  // the reader hears of it too
    }
    send();
  }

  void OnDone() override { self_.reset(); }

 private:
  void attend(const directory::Report& report) {
    if (!report.has_announcement()) throw invalid_argument("the first report must announce a task");
    const directory::Announcement& who = report.announcement();
    name_ = name_of(who);
    std::optional<ServerEntry> server;
    if (who.has_server()) server = to_server(who.server());
    std::vector<Directory::Snapshot> snapshots;
    for (const directory::Snapshot& snapshot : who.snapshots()) {
      snapshots.push_back({snapshot.slot(), snapshot.step(), milliseconds(snapshot.age_ms())});
    }
    const auto watcher =
        board_.attend({.servers = who.servers(), .replicas = who.replicas()}, std::move(server),
                      snapshots, who.session(), [me = weak_from_this()] {
                        if (const auto directory_stream = me.lock()) directory_stream->send();
                      });
    if (who.has_worker()) {
      board_.attend_worker(*watcher, who.worker().index(), who.worker().incarnation(),
                           milliseconds(std::max<int64_t>(0, who.patience_ms())));
    }
    MutexLock lock(mutex_);
    watcher_ = watcher;
  }

  void hear(const directory::Report& report) {
    board_.beat(*watcher_,
                {.progress = report.progress(),
                 .waiting = milliseconds(std::clamp<int64_t>(report.waiting_ms(), 0, INT32_MAX))});
    if (report.stop_signal() != 0 && !std::exchange(told_, true)) {
      coordinator_state_.options().stop({.who = name_, .signal = report.stop_signal()});
    }
    for (const directory::InSync& slot : report.in_sync()) {
      board_.backup_is_in_sync(*watcher_, slot.slot(), slot.epoch(), slot.backup_incarnation());
    }
    for (const int index : report.suspects()) board_.suspect(index);
    for (const directory::Moved& moved : report.moved()) {
      board_.shard_moved(*watcher_, moved.id(), clean(moved.error(), kErrorLimit));
    }
    for (const directory::LostState& lost : report.lost_state()) {
      board_.state_is_lost(*watcher_, lost.slot(), lost.epoch(), clean(lost.why(), kErrorLimit));
    }
    if (report.step() != 0) board_.note_step(*watcher_, report.step());
    for (const directory::LostSteps& lost : report.lost_steps()) {
      board_.note_lost_steps(*watcher_, lost.slot(), lost.epoch(), lost.steps());
    }
    if (report.want_whole()) board_.forget_what_was_told(*watcher_);
    leaving_ = leaving_ || report.leaving();
  }

  // Writes what the task has not been told, when nothing is on its way.
  void send() {
    MutexLock lock(mutex_);
    if (writing_ || end_ || watcher_ == nullptr) return;
    auto bytes = board_.next(*watcher_);
    if (bytes == nullptr) return;
    outgoing_ = to_buffer(std::move(bytes));
    writing_ = true;
    StartWrite(&outgoing_);
  }

  // Called once, instead of the next read.
  void end(const Status& status) {
    if (watcher_ != nullptr) board_.detach(*watcher_, leaving_);
    MutexLock lock(mutex_);
    end_ = status;
    if (!writing_) Finish(status);
  }

  DirectoryState& board_;
  CoordinatorState& coordinator_state_;
  std::shared_ptr<DirectoryStream> self_;
  ByteBuffer incoming_;
  // Of the reads, one of which runs at a time.
  std::string name_;
  bool leaving_ = false, told_ = false;

  Mutex mutex_;  // held while the board is asked, never by the board
  std::shared_ptr<DirectoryState::Watcher> watcher_;  // written once, by the first read
  ByteBuffer outgoing_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  std::optional<Status> end_ GUARDED_BY(mutex_);
};

// A call that the board answers later. Freed when gRPC is done with it and the board, too.
class Call final : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<Call> {
 public:
  explicit Call(DirectoryState& board) : board_(board) {}

  // `ask`: asks the board, and returns its ticket.
  template <typename Ask>
  void begin(Ask ask) {
    self_ = shared_from_this();
    int64_t ticket = 0;
    const Status status = answer_rpc([&] { ticket = ask(self_); });
    if (!status.ok()) return Finish(status);
    ticket_ = ticket;
    if (cancelled_) board_.cancel(ticket);
  }
  void end(const std::optional<Error>& error) { Finish(error ? to_status(*error) : Status::OK); }

  void OnCancel() override {
    cancelled_ = true;
    if (const int64_t ticket = ticket_; ticket != 0) board_.cancel(ticket);
  }
  void OnDone() override { self_.reset(); }

 private:
  DirectoryState& board_;
  std::shared_ptr<Call> self_;
  std::atomic<int64_t> ticket_ = 0;  // 0: not asked yet
  std::atomic<bool> cancelled_ = false;
};

using Methods =
    directory::Directory::WithRawCallbackMethod_Attend<directory::Directory::WithCallbackMethod_Sum<
        directory::Directory::WithCallbackMethod_Move<directory::Directory::Service>>>;

// No call holds a thread while it waits: a stream of each of a thousand servers costs its buffers
// only.
class Service final : public Methods {
 public:
  Service(DirectoryState& board, CoordinatorState& coordinator_state)
      : board_(board), coordinator_state_(coordinator_state) {}

  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Attend(CallbackServerContext*) override {
    const auto directory_stream = std::make_shared<DirectoryStream>(board_, coordinator_state_);
    directory_stream->begin();
    return directory_stream.get();
  }

  grpc::ServerUnaryReactor* Sum(CallbackServerContext*, const directory::SumRequest* request,
                                directory::SumAnswer* answer) override {
    const auto call = std::make_shared<Call>(board_);
    call->begin([&](std::shared_ptr<Call> me) {
      return board_.sum(
          request->name(), request->worker(), request->workers(),
          {request->values().data(), request->values().size() + size_t{0}},
          milliseconds(request->timeout_ms()), request->session(),
          [me, answer](const std::vector<double>& sum, const std::optional<Error>& error) {
            answer->mutable_values()->Add(sum.begin(), sum.end());
            me->end(error);
          });
    });
    return call.get();
  }

  grpc::ServerUnaryReactor* Move(CallbackServerContext*, const directory::MoveRequest* request,
                                 directory::MoveAnswer*) override {
    const auto call = std::make_shared<Call>(board_);
    call->begin([&](std::shared_ptr<Call> me) {
      return board_.move_shard(request->shard(), request->to(), milliseconds(request->timeout_ms()),
                               [me](const std::optional<Error>& error) { me->end(error); });
    });
    return call.get();
  }

 private:
  DirectoryState& board_;
  CoordinatorState& coordinator_state_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_directory_service(DirectoryState& board,
                                                      CoordinatorState& coordinator_state) {
  return std::make_unique<Service>(board, coordinator_state);
}

}  // namespace trireme
