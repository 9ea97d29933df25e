#include "distributed/coordination/directory_service.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdint>
#include <thread>

#include "core/base/error.h"
#include "distributed/coordination/directory_board.h"
#include "distributed/coordination/directory_messages.h"
#include "distributed/coordination/rpc_answer.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/switchboard.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.grpc.pb.h"

namespace trireme {
namespace {

using grpc::ServerContext;
using grpc::Status;
using std::chrono::milliseconds;
constexpr size_t kErrorLimit = 1024;
using Stream = grpc::ServerReaderWriter<directory::View, directory::Report>;

class Service final : public directory::Directory::Service {
 public:
  Service(DirectoryBoard& board, Switchboard& switchboard)
      : board_(board), switchboard_(switchboard) {}

  Status Attend(ServerContext*, Stream* stream) override {
    return answer_rpc([&] { attend(*stream); });
  }

  Status Sum(ServerContext* context, const directory::SumRequest* request,
             directory::SumAnswer* answer) override {
    return answer_rpc([&] {
      const auto sum = board_.sum(
          request->name(), request->worker(), request->workers(),
          {request->values().data(), request->values().size() + size_t{0}},
          milliseconds(request->timeout_ms()), [&] { return context->IsCancelled(); },
          request->session());
      answer->mutable_values()->Add(sum.begin(), sum.end());
    });
  }

  Status Move(ServerContext* context, const directory::MoveRequest* request,
              directory::MoveAnswer*) override {
    return answer_rpc([&] {
      board_.move_shard(request->shard(), request->to(), milliseconds(request->timeout_ms()),
                        [&] { return context->IsCancelled(); });
    });
  }

 private:
  static std::string name_of(const directory::Announcement& who) {
    return who.has_server() ? str_cat("parameter server ", who.server().index()) : "a worker";
  }

  // Reads on this thread and writes on another: a task that does not read its views is heard
  // nevertheless.
  void attend(Stream& stream) {
    directory::Report report;
    if (!stream.Read(&report)) return;
    if (!report.has_announcement()) throw invalid_argument("the first report must announce a task");
    const directory::Announcement who = report.announcement();  // the next ones replace it
    std::optional<ServerEntry> server;
    if (who.has_server()) server = to_server(who.server());
    std::vector<Directory::Snapshot> snapshots;
    for (const directory::Snapshot& snapshot : who.snapshots()) {
      snapshots.push_back({snapshot.slot(), snapshot.step(), milliseconds(snapshot.age_ms())});
    }
    const auto watcher = board_.attend({.servers = who.servers(), .replicas = who.replicas()},
                                       std::move(server), snapshots, who.session());
    if (who.has_worker()) {
      board_.attend_worker(*watcher, who.worker().index(), who.worker().incarnation(),
                           milliseconds(std::max<int64_t>(0, who.patience_ms())));
    }
    std::thread writer([&] {
      while (const auto view = board_.next(*watcher)) {
        directory::View message;
        to_message(*view, &message);
        message.set_workers(board_.workers());
        if (!stream.Write(message)) return;  // the reader hears of it too
      }
      directory::View last;
      last.set_given_up(board_.given_up(*watcher));
      last.set_over(board_.is_over());
      last.set_begin_again(board_.begin_again(*watcher));
      if (const auto failure = board_.failure()) {
        last.set_failure(failure->what());
        last.set_failure_code(to_number(failure->code()));
      }
      if (last.given_up() || last.over() || !last.failure().empty() ||
          !last.begin_again().empty()) {
        stream.Write(last);
      }
    });
    bool leaving = false, told = false;
    do {
      board_.beat(
          *watcher,
          {.progress = report.progress(),
           .waiting = milliseconds(std::clamp<int64_t>(report.waiting_ms(), 0, INT32_MAX))});
      if (report.stop_signal() != 0 && !std::exchange(told, true)) {
        switchboard_.options().stop({.who = name_of(who), .signal = report.stop_signal()});
      }
      for (const directory::InSync& slot : report.in_sync()) {
        board_.backup_is_in_sync(*watcher, slot.slot(), slot.epoch(), slot.backup_incarnation());
      }
      for (const int index : report.suspects()) board_.suspect(index);
      for (const directory::Moved& moved : report.moved()) {
        board_.shard_moved(*watcher, moved.id(), clean(moved.error(), kErrorLimit));
      }
      for (const directory::LostState& lost : report.lost_state()) {
        board_.state_is_lost(*watcher, lost.slot(), lost.epoch(), clean(lost.why(), kErrorLimit));
      }
      board_.note_step(*watcher, report.step());
      for (const directory::LostSteps& lost : report.lost_steps()) {
        board_.note_lost_steps(*watcher, lost.slot(), lost.epoch(), lost.steps());
      }
      leaving = leaving || report.leaving();
    } while (stream.Read(&report));
    board_.detach(*watcher, leaving);
    writer.join();
  }

  DirectoryBoard& board_;
  Switchboard& switchboard_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_directory_service(DirectoryBoard& board,
                                                      Switchboard& switchboard) {
  return std::make_unique<Service>(board, switchboard);
}

}  // namespace trireme
