#include "distributed/coordination/directory_client.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "core/base/logging.h"
#include "distributed/coordination/directory_messages.h"
#include "distributed/coordination/lateness.h"
#include "distributed/coordination/rpc_channel.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/view_history.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.grpc.pb.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
using SystemClock = std::chrono::system_clock;
using std::chrono::milliseconds;

constexpr milliseconds kHeartbeat{200};
constexpr milliseconds kGoodbye{1000};
// Between two looks whether a wait is given up.
constexpr milliseconds kLook{50};
constexpr size_t kTextLimit = 4096;
// What an answer may take besides the wait that was asked for.
constexpr milliseconds kMargin{5000};

}  // namespace

class DirectoryClient::Impl {
 public:
  explicit Impl(DirectoryClientOptions options) : options_(std::move(options)) {
    channel_ = connect_to_coordinator(
                   {.address = options_.address,
                    .security = {.secret = options_.secret, .encryption = options_.encryption},
                    .job_id = options_.job_id},
                   options_.connect_timeout)
                   .channel;
    stub_ = directory::Directory::NewStub(channel_);
    stream_ = stub_->Attend(&context_);
    reading_ = std::thread([this] { read(); });
    beating_ = std::thread([this] { beat(); });
    try {
      wait_for_answer();
    } catch (...) {
      close();
      throw;
    }
  }

  ~Impl() { close(); }

  ServerView view() const {
    MutexLock lock(mutex_);
    return view_;
  }

  int workers() const {
    MutexLock lock(mutex_);
    return workers_;
  }

  ServerView wait_for_view(int64_t at_least, milliseconds timeout) const {
    const auto deadline = Clock::now() + timeout;
    MutexLock lock(mutex_);
    for (;;) {
      const bool complete =
          view_.number >= std::max<int64_t>(at_least, 1) &&
          std::ranges::all_of(view_.slots, [](const SlotEntry& slot) { return slot.primary >= 0; });
      if (complete) return view_;
      if (lost_) throw Error(*lost_);
      if (Clock::now() >= deadline) {
        throw Error(ErrorCode::kDeadlineExceeded, missing(at_least, timeout));
      }
      changed_.wait_until(mutex_, deadline);
    }
  }

  void backup_is_in_sync(int slot, int64_t epoch, uint64_t backup_incarnation) {
    MutexLock lock(mutex_);
    directory::InSync* entry = report_.add_in_sync();
    entry->set_slot(slot);
    entry->set_epoch(epoch);
    entry->set_backup_incarnation(backup_incarnation);
    speak_now();
  }

  void state_is_lost(int slot, int64_t epoch, const std::string& why) {
    MutexLock lock(mutex_);
    directory::LostState* lost = report_.add_lost_state();
    lost->set_slot(slot);
    lost->set_epoch(epoch);
    lost->set_why(why);
    speak_now();
  }

  void lost_steps(int slot, int64_t epoch, int64_t steps) {
    MutexLock lock(mutex_);
    directory::LostSteps* lost = report_.add_lost_steps();
    lost->set_slot(slot);
    lost->set_epoch(epoch);
    lost->set_steps(steps);
    speak_now();
  }

  void suspect(int index) {
    MutexLock lock(mutex_);
    if (std::ranges::find(report_.suspects(), index) != report_.suspects().end()) return;
    report_.add_suspects(index);
    speak_now();
  }

  void shard_moved(int64_t id, const std::string& error) {
    MutexLock lock(mutex_);
    directory::Moved* moved = report_.add_moved();
    moved->set_id(id);
    moved->set_error(error);
    speak_now();
  }

  void move_shard(int shard, int to, milliseconds timeout) {
    directory::MoveRequest request;
    request.set_shard(shard);
    request.set_to(to);
    request.set_timeout_ms(timeout.count());
    grpc::ClientContext context;
    context.set_deadline(SystemClock::now() + timeout + kMargin);
    directory::MoveAnswer answer;
    const grpc::Status status = stub_->Move(&context, request, &answer);
    if (!status.ok()) throw to_error(status, options_.address);
  }

  void sum(const std::string& name, int workers, std::span<double> values, milliseconds timeout,
           const std::function<std::optional<Error>()>& give_up) {
    directory::SumRequest request;
    request.set_name(name);
    request.set_worker(options_.index);
    request.set_workers(workers);
    request.mutable_values()->Add(values.begin(), values.end());
    request.set_timeout_ms(timeout.count());
    request.set_session(view().session);
    grpc::ClientContext context;
    context.set_deadline(SystemClock::now() + timeout + kMargin);
    directory::SumAnswer answer;
    grpc::Status status;
    grpc::CompletionQueue queue;
    const auto call = stub_->AsyncSum(&context, request, &queue);
    call->Finish(&answer, &status, nullptr);
    std::optional<Error> ended;
    void* tag = nullptr;
    for (bool good = false; queue.AsyncNext(&tag, &good, SystemClock::now() + kLook) ==
                            grpc::CompletionQueue::TIMEOUT;) {
      if (!ended && (ended = why_to_end(give_up))) context.TryCancel();
    }
    if (ended) throw Error(*ended);
    if (!status.ok()) throw to_error(status, options_.address);
    if (static_cast<size_t>(answer.values_size()) != values.size()) {
      throw data_loss("the sum \"", name, "\" came back with ", answer.values_size(),
                      " values, expected ", values.size());
    }
    std::ranges::copy(answer.values(), values.begin());
  }

 private:
  void speak_now() REQUIRES(mutex_) {
    urgent_ = true;
    changed_.notify_all();
  }

  std::optional<Error> why_to_end(const std::function<std::optional<Error>()>& give_up) const {
    {
      MutexLock lock(mutex_);
      if (lost_) return lost_;
    }
    return give_up ? give_up() : std::nullopt;
  }

  // Says goodbye, and waits a moment only until it was heard.
  void close() {
    {
      MutexLock lock(mutex_);
      closing_ = true;
      changed_.notify_all();
      const auto deadline = Clock::now() + kGoodbye;
      while (!ended_ && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
    }
    context_.TryCancel();
    if (beating_.joinable()) beating_.join();
    if (reading_.joinable()) reading_.join();
  }

  void wait_for_answer() {
    const auto deadline = Clock::now() + kMargin;
    MutexLock lock(mutex_);
    while (!answered_ && !ended_ && Clock::now() < deadline) changed_.wait_until(mutex_, deadline);
    if (answered_) return;
    if (lost_) throw Error(*lost_);
    throw no_coordinator(options_.address, kMargin);
  }

  std::string missing(int64_t at_least, milliseconds timeout) const REQUIRES(mutex_) {
    std::vector<int> missing;
    for (const ServerEntry& server : view_.servers) {
      if (!server.alive) missing.push_back(server.index);
    }
    if (missing.empty() && view_.servers.empty()) {
      return str_cat("no parameter server has come within ", seconds_text(timeout), "; ",
                     options_.servers, " are expected: start each with `trireme ps`");
    }
    if (missing.empty()) {
      return str_cat("the servers' view ", at_least, " has not come within ", seconds_text(timeout),
                     "; the newest is ", view_.number);
    }
    return str_cat(name_numbered("parameter server", missing),
                   missing.size() == 1 ? " has" : " have", " not come ",
                   view_.number > 0 ? "back " : "", "within ", seconds_text(timeout));
  }

  directory::Report announcement() const {
    directory::Report report;
    directory::Announcement* who = report.mutable_announcement();
    who->set_servers(options_.servers);
    who->set_replicas(options_.replicas);
    who->set_session(options_.session);
    for (const Directory::Snapshot& snapshot : options_.snapshots) {
      directory::Snapshot* message = who->add_snapshots();
      message->set_slot(snapshot.slot);
      message->set_step(snapshot.step);
      message->set_age_ms(snapshot.age.count());
    }
    who->set_patience_ms(options_.patience.count());
    if (!options_.is_server && options_.servers > 0) {
      who->mutable_worker()->set_index(options_.index);
      who->mutable_worker()->set_incarnation(options_.incarnation);
    }
    if (options_.is_server) {
      to_message(ServerEntry{.index = options_.index,
                             .incarnation = options_.incarnation,
                             .address = options_.server_address,
                             .host = options_.host,
                             .shared_memory_host = options_.shared_memory_host},
                 who->mutable_server());
    }
    return report;
  }

  void beat() {  // thread
    pthread_setname_np(pthread_self(), "beat");
    directory::Report report = announcement();
    while (stream_->Write(report)) {
      if (report.leaving()) {
        stream_->WritesDone();
        return;
      }
      const auto next = Clock::now() + beat_interval(kHeartbeat, options_.servers);
      {
        MutexLock lock(mutex_);
        while (!closing_ && !dismissed_ && !ended_ && !urgent_ && Clock::now() < next) {
          changed_.wait_until(mutex_, next);
        }
        if (ended_) return;
        urgent_ = false;
        report = std::exchange(report_, {});
        report.set_leaving(closing_ || dismissed_);
      }
      if (options_.step) report.set_step(options_.step());
      if (options_.stop_signal) report.set_stop_signal(options_.stop_signal());
      if (options_.state) {
        const WorkerState state = options_.state();
        report.set_progress(state.progress);
        report.set_waiting_ms(state.waiting.count());
      }
    }
  }

  // All tasks begin again. The stream stays until this one has said how far it was.
  void take_dismissal(const std::string& why) {
    const Error error(ErrorCode::kUnavailable, why);
    bool tell = false;
    {
      MutexLock lock(mutex_);
      if (lost_) return;
      lost_ = error;
      dismissed_ = true;
      tell = answered_ && !closing_;
      changed_.notify_all();
    }
    const auto& told = options_.on_begin_again ? options_.on_begin_again : options_.on_lost;
    if (tell && told) told(error);
  }

  void read() {  // thread
    pthread_setname_np(pthread_self(), "views");
    std::optional<Error> lost;
    bool is_over = false;
    ViewReplica replica;
    directory::View message;
    while (!lost && stream_->Read(&message)) {
      if (message.given_up()) {
        lost = Error(
            ErrorCode::kDeadlineExceeded,
            str_cat("parameter server ", options_.index, " of incarnation ", options_.incarnation,
                    " does not count any more: it was silent for too long, or another "
                    "one was started in its place"));
        context_.TryCancel();
        break;
      }
      if (!message.failure().empty()) {
        lost = Error(to_code(message.failure_code()), clean(message.failure(), kTextLimit));
        context_.TryCancel();
        break;
      }
      if (!message.begin_again().empty()) {
        take_dismissal(message.begin_again());
        continue;
      }
      if (message.over()) {
        lost = Error(ErrorCode::kUnavailable,
                     str_cat("the coordinator at ", options_.address, " has ended"));
        is_over = true;
        context_.TryCancel();
        break;
      }
      try {
        if (replica.apply(message)) {
          deliver(replica.view(), message.workers());
        } else {
          log_warning(str_cat("a change of the servers' view, to ", message.number(),
                              ", does not fit the view that is here: the whole one is asked for"));
          MutexLock lock(mutex_);
          report_.set_want_whole(true);
          speak_now();
        }
      } catch (const Error& error) {
        lost = error;
        context_.TryCancel();
      }
    }
    const grpc::Status status = stream_->Finish();
    if (!lost) {
      lost = status.ok() ? Error(ErrorCode::kUnavailable,
                                 str_cat("the coordinator at ", options_.address, " is gone"))
                         : to_error(status, options_.address);
    }
    bool tell = false;
    {
      MutexLock lock(mutex_);
      ended_ = true;
      tell = answered_ && !closing_ && !dismissed_;
      if (!dismissed_) lost_ = lost;
      changed_.notify_all();
    }
    if (!tell || !options_.on_lost) return;
    options_.on_lost(is_over ? Error(ErrorCode::kCancelled, lost->what()) : *lost);
  }

  void deliver(const ServerView& view, int workers) {
    bool is_new = false;
    {
      MutexLock lock(mutex_);
      is_new = view.number > view_.number;
      view_ = view;
      workers_ = workers;
      answered_ = true;
      changed_.notify_all();
      if (closing_) return;
    }
    if (is_new && options_.on_view) options_.on_view(view);
  }

  const DirectoryClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<directory::Directory::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<directory::Report, directory::View>> stream_;

  mutable Mutex mutex_;
  mutable ConditionVariable changed_;
  ServerView view_ GUARDED_BY(mutex_);
  int workers_ GUARDED_BY(mutex_) = 0;
  directory::Report report_ GUARDED_BY(mutex_);  // what the next one says
  bool urgent_ GUARDED_BY(mutex_) = false;       // it must not wait for the next beat
  bool answered_ GUARDED_BY(mutex_) = false;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool dismissed_ GUARDED_BY(mutex_) = false;  // all tasks begin again, so this one is to end
  bool ended_ GUARDED_BY(mutex_) = false;      // nothing more can be read
  std::optional<Error> lost_ GUARDED_BY(mutex_);
  std::thread reading_, beating_;
};

DirectoryClient::DirectoryClient(DirectoryClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
DirectoryClient::~DirectoryClient() = default;

ServerView DirectoryClient::view() const { return impl_->view(); }
int DirectoryClient::workers() const { return impl_->workers(); }
ServerView DirectoryClient::wait_for_view(int64_t at_least, milliseconds timeout) const {
  return impl_->wait_for_view(at_least, timeout);
}
void DirectoryClient::backup_is_in_sync(int slot, int64_t epoch, uint64_t backup_incarnation) {
  impl_->backup_is_in_sync(slot, epoch, backup_incarnation);
}
void DirectoryClient::state_is_lost(int slot, int64_t epoch, const std::string& why) {
  impl_->state_is_lost(slot, epoch, why);
}
void DirectoryClient::lost_steps(int slot, int64_t epoch, int64_t steps) {
  impl_->lost_steps(slot, epoch, steps);
}
void DirectoryClient::suspect(int index) { impl_->suspect(index); }
void DirectoryClient::shard_moved(int64_t id, const std::string& error) {
  impl_->shard_moved(id, error);
}
void DirectoryClient::move_shard(int shard, int to, std::chrono::milliseconds timeout) {
  impl_->move_shard(shard, to, timeout);
}
void DirectoryClient::sum(const std::string& name, int workers, std::span<double> values,
                          milliseconds timeout,
                          const std::function<std::optional<Error>()>& give_up) {
  impl_->sum(name, workers, values, timeout, give_up);
}

}  // namespace trireme
