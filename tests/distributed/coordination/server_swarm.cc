#include "tests/distributed/coordination/server_swarm.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "distributed/connection/connection.h"
#include "distributed/coordination/directory_messages.h"
#include "distributed/coordination/rpc_channel.h"
#include "distributed/coordination/view_history.h"
#include "proto/directory_service.grpc.pb.h"

namespace trireme::testing {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kHeartbeat{200};
constexpr milliseconds kEnd{5000}, kConnect{20'000};
constexpr int kBeatParts = 20;   // of the members, one after the other
constexpr size_t kDialing = 16;  // at a time
constexpr size_t kFaultsTold = 5;

// What has happened to the swarm, for whoever waits for it.
class Events {
 public:
  void happened() {
    MutexLock lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  // False after the deadline.
  template <typename Condition>
  bool wait(Clock::time_point deadline, Condition condition) {
    for (;;) {
      int64_t count = 0;
      {
        MutexLock lock(mutex_);
        count = count_;
      }
      if (condition()) return true;
      MutexLock lock(mutex_);
      while (count == count_) {
        if (Clock::now() >= deadline) return false;
        changed_.wait_until(mutex_, deadline);
      }
    }
  }
  void add_fault(const std::string& fault) {
    MutexLock lock(mutex_);
    faults_.push_back(fault);
  }
  std::vector<std::string> faults() {
    MutexLock lock(mutex_);
    return faults_;
  }

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  int64_t count_ GUARDED_BY(mutex_) = 0;
  std::vector<std::string> faults_ GUARDED_BY(mutex_);
};

struct Who {
  std::string address, secret;
  int servers = 0, replicas = 0;
  int server = -1;   // −1: a worker
  int watcher = -1;  // −1: a server
  uint64_t incarnation = 1;
  std::string session;
  std::vector<int> snapshots;  // of these slots
};

// One task. Owns itself until gRPC is done with it.
class Member final : public grpc::ClientBidiReactor<directory::Report, directory::View>,
                     public std::enable_shared_from_this<Member> {
 public:
  Member(Who who, std::shared_ptr<Events> events)
      : who_(std::move(who)), events_(std::move(events)) {}

  void begin() {
    CoordinatorLine line;
    try {
      line = connect_to_coordinator(
          {.address = who_.address, .security = {.secret = who_.secret}, .job_id = "job"},
          kConnect);
    } catch (const Error& error) {
      events_->add_fault(str_cat(name(), ": ", error.what()));
      done_ = true;
      return events_->happened();
    }
    self_ = shared_from_this();
    line_ = std::move(line);
    stub_ = directory::Directory::NewStub(line_.channel);
    stub_->async()->Attend(&context_, this);
    AddHold();  // beats come from another thread
    {
      MutexLock lock(mutex_);
      announce();
      write();
    }
    StartRead(&incoming_);
    StartCall();
  }
  void beat() {
    MutexLock lock(mutex_);
    if (!writing_ && !ended_) write();
  }
  void say_goodbye() {
    MutexLock lock(mutex_);
    next_.set_leaving(true);
    leaving_ = true;
    if (!writing_ && !ended_) write();
  }
  void lose() {
    MutexLock lock(mutex_);
    leaving_ = true;
    if (line_.connection != nullptr) line_.connection->break_off();
  }
  bool is_done() const { return done_; }
  int64_t number() const { return number_; }
  std::string name() const {
    return who_.server >= 0 ? str_cat("server ", who_.server) : str_cat("watcher ", who_.watcher);
  }
  const Who& who() const { return who_; }
  ServerView view() {
    MutexLock lock(mutex_);
    return replica_.view();
  }
  void spoil() {
    MutexLock lock(mutex_);
    replica_ = ViewReplica();
  }
  std::atomic<int64_t> messages = 0, bytes = 0;

  void OnReadDone(bool ok) override {
    if (ok) {
      ++messages;
      bytes += static_cast<int64_t>(incoming_.ByteSizeLong());
      {
        MutexLock lock(mutex_);
        hear();
      }
      events_->happened();
      StartRead(&incoming_);
      return;
    }
    MutexLock lock(mutex_);
    ended_ = true;
    RemoveHold();
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok || ended_) return;
    if (outgoing_.leaving()) {
      StartWritesDone();
    } else if (urgent_ || leaving_) {
      write();
    }
  }
  void OnDone(const grpc::Status& status) override {
    if (!leaving_) {
      events_->add_fault(str_cat(name(), ": its stream has ended: ", status.error_message()));
    }
    stub_.reset();
    {
      MutexLock lock(mutex_);
      line_ = {};
    }
    done_ = true;
    events_->happened();
    self_.reset();
  }

 private:
  void announce() REQUIRES(mutex_) {
    directory::Announcement* who = next_.mutable_announcement();
    who->set_servers(who_.servers);
    who->set_replicas(who_.replicas);
    who->set_session(who_.session);
    for (const int slot : who_.snapshots) {
      directory::Snapshot* snapshot = who->add_snapshots();
      snapshot->set_slot(slot);
      snapshot->set_step(7);
    }
    if (who_.server < 0) {
      who->mutable_worker()->set_index(who_.watcher);
      who->mutable_worker()->set_incarnation(1);
      return;
    }
    to_message(
        ServerEntry{.index = who_.server,
                    .incarnation = who_.incarnation,
                    .address = str_cat("10.0.", who_.server / 250, ".", who_.server % 250, ":4711"),
                    .host = str_cat("server-", who_.server, ".cluster.example"),
                    .shared_memory_host = str_cat("host-", who_.server)},
        who->mutable_server());
  }
  void hear() REQUIRES(mutex_) {
    if (incoming_.given_up() || incoming_.over() || !incoming_.begin_again().empty() ||
        !incoming_.failure().empty()) {
      events_->add_fault(str_cat(name(), ": ", incoming_.ShortDebugString()));
      return;
    }
    try {
      if (!replica_.apply(incoming_)) {
        events_->add_fault(str_cat(name(), ": a change did not fit"));
        next_.set_want_whole(true);
        urgent_ = true;
      }
    } catch (const Error& error) {
      events_->add_fault(str_cat(name(), ": ", error.what()));
    }
    const ServerView& view = replica_.view();
    number_ = view.number;
    for (size_t i = 0; i < view.slots.size(); ++i) {
      const SlotEntry& slot = view.slots[i];
      if (slot.primary != who_.server || slot.backup < 0 || slot.backup_in_sync) continue;
      directory::InSync* in_sync = next_.add_in_sync();
      in_sync->set_slot(static_cast<int>(i));
      in_sync->set_epoch(slot.epoch);
      in_sync->set_backup_incarnation(view.servers[static_cast<size_t>(slot.backup)].incarnation);
      urgent_ = true;
    }
    if (urgent_ && !writing_ && !ended_) write();
  }
  void write() REQUIRES(mutex_) {
    outgoing_ = std::exchange(next_, {});
    urgent_ = false;
    writing_ = true;
    StartWrite(&outgoing_);
  }

  const Who who_;
  const std::shared_ptr<Events> events_;  // it may still be told when nobody waits
  std::shared_ptr<Member> self_;
  CoordinatorLine line_;
  std::unique_ptr<directory::Directory::Stub> stub_;
  grpc::ClientContext context_;
  directory::View incoming_;
  std::atomic<int64_t> number_ = 0;
  std::atomic<bool> done_ = false, leaving_ = false;
  Mutex mutex_;
  ViewReplica replica_ GUARDED_BY(mutex_);
  directory::Report outgoing_ GUARDED_BY(mutex_), next_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = true;  // there is nothing to write to before begin()
  bool urgent_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
};

}  // namespace

class ServerSwarm::Impl {
 public:
  Impl(const std::string& address, const std::string& secret, int servers, int replicas,
       int watchers) {
    const Who who{.address = address, .secret = secret, .servers = servers, .replicas = replicas};
    for (int i = 0; i < watchers; ++i) {
      Who watcher = who;
      watcher.watcher = i;
      members_.push_back(std::make_shared<Member>(watcher, events_));
    }
    watchers_ = watchers;
    for (int i = 0; i < servers; ++i) {
      Who server = who;
      server.server = i;
      members_.push_back(std::make_shared<Member>(server, events_));
    }
    // A server that says nothing while others come would be given up.
    beats_ = std::thread([this] { beat(); });
    begin_all();
  }

  ~Impl() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    beats_.join();
    MutexLock lock(mutex_);
    for (const auto& member : members_) member->say_goodbye();
    for (const auto& member : members_) {
      const auto done = [&] { return member->is_done(); };
      if (!events_->wait(Clock::now() + kEnd, done)) member->lose();
    }
    for (const auto& member : members_) {
      events_->wait(Clock::now() + kEnd, [&] { return member->is_done(); });
    }
  }

  void lose(int server) {
    const auto member = this->member(server);
    member->lose();
    events_->wait(Clock::now() + kEnd, [&] { return member->is_done(); });
  }

  void bring_back(int server) {
    const auto before = member(server);
    Who who = before->who();
    ++who.incarnation;
    const ServerView view = before->view();
    who.session = view.session;
    for (size_t i = 0; i < view.slots.size(); ++i) {
      if (view.slots[i].primary == server) who.snapshots.push_back(static_cast<int>(i));
    }
    const auto member = std::make_shared<Member>(who, events_);
    {
      MutexLock lock(mutex_);
      members_[static_cast<size_t>(watchers_ + server)] = member;
    }
    member->begin();
  }

  ServerView wait_for(const Fits& fits, milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto all = members();
    ServerView view;
    int64_t seen = -1;
    const bool found = events_->wait(deadline, [&] {
      if (all.front()->number() == seen) return false;
      seen = all.front()->number();
      view = all.front()->view();
      return fits(view);
    });
    if (!found) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("no view fits; the newest is ", view.number, faults_told()));
    }
    size_t have = 0;
    const bool everywhere = events_->wait(deadline, [&] {
      while (have < all.size() && (all[have]->number() >= view.number || all[have]->is_done())) {
        ++have;
      }
      return have == all.size();
    });
    if (!everywhere) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("view ", view.number, " has come to ", have, " of ", all.size(),
                          " tasks, not to ", all[have]->name(), faults_told()));
    }
    return view;
  }

  std::vector<std::string> with_another_view(const ServerView& view) {
    std::vector<std::string> names;
    for (const auto& member : members()) {
      if (member->view() != view) names.push_back(member->name());
    }
    return names;
  }

  Traffic traffic() {
    Traffic traffic;
    for (const auto& member : members()) {
      traffic.messages += member->messages;
      traffic.bytes += member->bytes;
    }
    return traffic;
  }
  std::vector<std::string> faults() { return events_->faults(); }
  void spoil(int watcher) { members()[static_cast<size_t>(watcher)]->spoil(); }

 private:
  std::vector<std::shared_ptr<Member>> members() {
    MutexLock lock(mutex_);
    return members_;
  }
  std::shared_ptr<Member> member(int server) {
    MutexLock lock(mutex_);
    return members_[static_cast<size_t>(watchers_ + server)];
  }

  // Servers are processes, which come side by side.
  void begin_all() {
    const auto all = members();
    std::atomic<size_t> next = 0;
    std::vector<std::thread> dialing;
    for (size_t i = 0; i < kDialing; ++i) {
      dialing.emplace_back([&] {
        for (size_t k = next++; k < all.size(); k = next++) all[k]->begin();
      });
    }
    for (std::thread& thread : dialing) thread.join();
  }

  // What went wrong until now, in a few words.
  std::string faults_told() {
    const auto all = events_->faults();
    std::string text;
    for (size_t i = 0; i < std::min(all.size(), kFaultsTold); ++i) text += "; " + all[i];
    if (all.size() > kFaultsTold) text += str_cat("; and ", all.size() - kFaultsTold, " more");
    return text;
  }

  void beat() {  // thread
    auto next = Clock::now();
    for (size_t part = 0;; part = (part + 1) % kBeatParts) {
      next += kHeartbeat / kBeatParts;
      {
        MutexLock lock(mutex_);
        while (!stopping_ && Clock::now() < next) changed_.wait_until(mutex_, next);
        if (stopping_) return;
      }
      const auto all = members();
      for (size_t i = part; i < all.size(); i += kBeatParts) all[i]->beat();
    }
  }

  const std::shared_ptr<Events> events_ = std::make_shared<Events>();
  Mutex mutex_;
  ConditionVariable changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  int watchers_ = 0;
  std::vector<std::shared_ptr<Member>> members_ GUARDED_BY(mutex_);  // watchers, then servers
  std::thread beats_;
};

ServerSwarm::ServerSwarm(const std::string& address, const std::string& secret, int servers,
                         int replicas, int watchers)
    : impl_(std::make_unique<Impl>(address, secret, servers, replicas, watchers)) {}
ServerSwarm::~ServerSwarm() = default;

void ServerSwarm::lose(int server) { impl_->lose(server); }
void ServerSwarm::bring_back(int server) { impl_->bring_back(server); }
ServerView ServerSwarm::wait_for(const Fits& fits, milliseconds timeout) const {
  return impl_->wait_for(fits, timeout);
}
std::vector<std::string> ServerSwarm::with_another_view(const ServerView& view) const {
  return impl_->with_another_view(view);
}
ServerSwarm::Traffic ServerSwarm::traffic() const { return impl_->traffic(); }
std::vector<std::string> ServerSwarm::faults() const { return impl_->faults(); }
void ServerSwarm::spoil(int watcher) { impl_->spoil(watcher); }

bool is_whole(const ServerView& view, int replicas) {
  return view.number > 0 && std::ranges::all_of(view.slots, [&](const SlotEntry& slot) {
           return slot.primary >= 0 && (replicas < 2 || (slot.backup >= 0 && slot.backup_in_sync));
         });
}

}  // namespace trireme::testing
