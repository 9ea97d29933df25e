#include "tests/distributed/coordination/crowd.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <utility>

#include "core/base/error.h"
#include "distributed/connection/dial.h"
#include "distributed/coordination/lateness.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/rpc/grpc_setup.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme::testing {
namespace {

using coordination::Beat;
using coordination::Order;
using std::chrono::milliseconds;

constexpr milliseconds kConnect{20'000};

std::string host_of(int home, int per_host) { return str_cat("n", home / per_host); }
std::string address_of(int home, uint64_t incarnation) {
  return str_cat("10.0.", home / 256, ".", home % 256, ":", 5000 + incarnation);
}

}  // namespace

class CrowdMember : public grpc::ClientBidiReactor<Beat, Order> {
 public:
  CrowdMember(Crowd& crowd, int home, uint64_t incarnation, uint64_t task)
      : crowd_(crowd), home_(home), incarnation_(incarnation), task_(task) {}

  void connect() {
    const DialOptions options{.address = crowd_.address_,
                              .security = {.secret = crowd_.secret_},
                              .job_id = "job",
                              .deadline = Crowd::Clock::now() + kConnect};
    calls_channel_ = grpc::CreateInsecureChannelFromFd("calls", dial(options));
    line_channel_ = grpc::CreateInsecureChannelFromFd("line", dial(options));
    calls_ = coordination::Coordination::NewStub(calls_channel_);
    line_ = coordination::Coordination::NewStub(line_channel_);
  }

  // `self` lives until the line is over.
  void start(std::shared_ptr<CrowdMember> self) {
    self_ = std::move(self);
    calls_->async()->Hello(&hello_context_, &nothing_, &greeting_, [this](const grpc::Status& s) {
      if (s.ok()) open();
    });
  }

  void kill() {
    dead_ = true;
    context_.TryCancel();
    line_.reset();
    calls_.reset();
    line_channel_.reset();
    calls_channel_.reset();
  }

  void beat() {
    Beat message;
    {
      MutexLock lock(mutex_);
      if (place_.generation == 0) return;
      message.set_generation(place_.generation);
      message.set_entered(7);
      message.set_finished(7);
      message.set_what("bucket 3 (conv2/kernel … logits/bias)");
    }
    send(std::move(message));
  }

  Crowd::Place place() const {
    MutexLock lock(mutex_);
    return place_;
  }
  coordination::Coordination::Stub& calls() { return *calls_; }
  int64_t generation() const {
    MutexLock lock(mutex_);
    return place_.generation;
  }

 private:
  void open() {
    line_->async()->Attend(&context_, this);
    StartRead(&order_);
    StartCall();
    join(false);
  }

  void join(bool again) {
    Beat message;
    auto* join = message.mutable_join();
    join->set_rank(home_);
    join->set_world_size(crowd_.size_);
    if (again) {
      join->set_same_handshake(true);
    } else {
      (*join->mutable_handshake())["graph"] = "1a2b";
    }
    join->set_host(host_of(home_, crowd_.per_host_));
    join->set_host_id(str_cat("boot-id-of-", host_of(home_, crowd_.per_host_), "/4026531836"));
    join->set_pid(1000 + home_);
    join->set_address(address_of(home_, incarnation_));
    join->set_incarnation(incarnation_);
    join->set_task(task_);
    send(std::move(message));
  }

  void send(Beat message) {
    MutexLock lock(mutex_);
    if (over_) return;
    beats_.push_back(std::move(message));
    write_next();
  }

  void write_next() REQUIRES(mutex_) {
    if (writing_ || over_ || beats_.empty()) return;
    writing_ = true;
    beat_ = std::move(beats_.front());
    beats_.pop_front();
    StartWrite(&beat_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (ok) write_next();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      MutexLock lock(mutex_);
      over_ = true;
      return;
    }
    crowd_.note_bytes(order_.ByteSizeLong());
    if (order_.kind() == Order::MEMBER) {
      take(order_.membership());
    } else if (order_.kind() == Order::FAULT && order_.generation() == generation()) {
      crowd_.note_fault(order_.message());
      if (!dead_) join(true);
    } else if (order_.kind() == Order::REFUSED) {
      crowd_.note_fault("refused: " + order_.message());
    }
    StartRead(&order_);
  }

  void take(const coordination::MembershipMessage& message) {
    Crowd::Place place{.generation = message.generation(),
                       .rank = message.rank(),
                       .size = message.size(),
                       .address = address_of(home_, incarnation_),
                       .membership_bytes = message.ByteSizeLong()};
    std::vector<HostRun> runs;
    for (const auto& run : message.hosts()) {
      runs.push_back({run.first_host(), run.hosts(), run.ranks_each(), run.repeat()});
    }
    if (home_ % 64 == 0) place.hosts = from_runs(runs, message.size());  // as a sample
    {
      MutexLock lock(mutex_);
      place_ = std::move(place);
    }
    beat();
    if (!dead_) crowd_.note_place(message.generation());
  }

  void OnDone(const grpc::Status&) override { const auto last = std::move(self_); }

  Crowd& crowd_;
  const int home_;
  const uint64_t incarnation_, task_;
  std::shared_ptr<CrowdMember> self_;
  std::shared_ptr<grpc::Channel> calls_channel_, line_channel_;
  std::unique_ptr<coordination::Coordination::Stub> calls_, line_;
  grpc::ClientContext hello_context_, context_;
  coordination::Done nothing_;
  coordination::Greeting greeting_;
  Order order_;
  Beat beat_;
  std::atomic<bool> dead_{false};
  mutable Mutex mutex_;
  std::deque<Beat> beats_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false, over_ GUARDED_BY(mutex_) = false;
  Crowd::Place place_ GUARDED_BY(mutex_);
};

Crowd::Crowd(std::string address, std::string secret, int size, int per_host)
    : address_(std::move(address)), secret_(std::move(secret)), size_(size), per_host_(per_host) {
  MutexLock lock(mutex_);
  for (int home = 0; home < size; ++home) members_.push_back(make_member(home, 0));
  alive_ = size;
}

Crowd::~Crowd() {
  std::vector<std::shared_ptr<CrowdMember>> members;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    for (auto& member : members_) {
      if (member) members.push_back(member);
    }
    members.insert(members.end(), ended_.begin(), ended_.end());
    members_.clear();
    ended_.clear();
  }
  if (beating_.joinable()) beating_.join();
  for (auto& member : members) member->kill();
  // Their calls end on gRPC's threads.
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  for (auto& member : members) {
    while (member.use_count() > 1 && Clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
}

std::shared_ptr<CrowdMember> Crowd::make_member(int home, uint64_t incarnation) {
  set_up_grpc();
  auto member = std::make_shared<CrowdMember>(*this, home, incarnation, next_task_++);
  member->connect();
  return member;
}

void Crowd::start() {
  std::vector<std::shared_ptr<CrowdMember>> members;
  {
    MutexLock lock(mutex_);
    members = members_;
  }
  for (auto& member : members) member->start(member);
  beating_ = std::thread([this] { beat_all(); });
}

void Crowd::kill(int home) {
  std::shared_ptr<CrowdMember> victim;
  {
    MutexLock lock(mutex_);
    victim = std::exchange(members_[static_cast<size_t>(home)], nullptr);
    ended_.push_back(victim);
    --alive_;
    if (victim->generation() == newest_) --in_newest_;
  }
  victim->kill();
}

void Crowd::replace(int home) {
  std::shared_ptr<CrowdMember> member;
  {
    MutexLock lock(mutex_);
    member = make_member(home, next_task_);
    members_[static_cast<size_t>(home)] = member;
    ++alive_;
  }
  member->start(member);
}

int64_t Crowd::wait_for_generation(int64_t after, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  MutexLock lock(mutex_);
  while (newest_ <= after || in_newest_ < alive_) {
    if (!changed_.wait_until(mutex_, deadline) && Clock::now() >= deadline) return 0;
  }
  return newest_;
}

void Crowd::note_place(int64_t generation) {
  MutexLock lock(mutex_);
  if (generation > newest_) {
    newest_ = generation;
    in_newest_ = 0;
  }
  if (generation == newest_ && ++in_newest_ >= alive_) changed_.notify_all();
}

void Crowd::note_fault(const std::string& message) {
  MutexLock lock(mutex_);
  fault_ = message;
}

void Crowd::note_bytes(size_t bytes) {
  MutexLock lock(mutex_);
  bytes_ += bytes;
}

Crowd::Place Crowd::place(int home) const {
  MutexLock lock(mutex_);
  const auto& member = members_[static_cast<size_t>(home)];
  return member == nullptr ? Place{} : member->place();
}

std::string Crowd::first_fault() const {
  MutexLock lock(mutex_);
  return fault_;
}

uint64_t Crowd::bytes_received() const {
  MutexLock lock(mutex_);
  return bytes_;
}

std::vector<Peer> Crowd::look_up(int home, int64_t generation, const std::vector<int>& ranks) {
  std::shared_ptr<CrowdMember> member;
  {
    MutexLock lock(mutex_);
    member = members_[static_cast<size_t>(home)];
  }
  grpc::ClientContext context;
  coordination::PeersRequest request;
  request.set_generation(generation);
  request.mutable_ranks()->Add(ranks.begin(), ranks.end());
  coordination::PeersAnswer answer;
  const auto status = member->calls().Peers(&context, request, &answer);
  if (!status.ok()) throw Error(ErrorCode::kUnavailable, status.error_message());
  std::vector<Peer> peers;
  for (const auto& peer : answer.peers()) peers.push_back(to_peer(peer));
  return peers;
}

bool Crowd::barrier(const std::string& name, milliseconds timeout) {
  struct Call {
    grpc::ClientContext context;
    coordination::BarrierMessage request;
    coordination::Done done;
  };
  std::vector<std::shared_ptr<CrowdMember>> members;
  {
    MutexLock lock(mutex_);
    for (const auto& member : members_) {
      if (member) members.push_back(member);
    }
  }
  Mutex mutex;
  ConditionVariable changed;
  size_t ended = 0, passed = 0;
  std::vector<Call> calls(members.size());
  for (size_t i = 0; i < members.size(); ++i) {
    Call& call = calls[i];
    const Place place = members[i]->place();
    call.request.set_generation(place.generation);
    call.request.set_rank(place.rank);
    call.request.set_name(name);
    call.request.set_timeout_ms(timeout.count());
    members[i]->calls().async()->Barrier(&call.context, &call.request, &call.done,
                                         [&](const grpc::Status& status) {
                                           MutexLock lock(mutex);
                                           ++ended;
                                           passed += status.ok() ? 1 : 0;
                                           changed.notify_all();
                                         });
  }
  MutexLock lock(mutex);
  while (ended < members.size()) changed.wait(mutex);
  return passed == members.size();
}

// Spread over the interval, as those of processes are.
void Crowd::beat_all() {
  constexpr int kSlices = 20;
  const auto interval = beat_interval(milliseconds(200), size_);
  for (int slice = 0;; slice = (slice + 1) % kSlices) {
    std::vector<std::shared_ptr<CrowdMember>> members;
    {
      const auto until = Clock::now() + interval / kSlices;
      MutexLock lock(mutex_);
      while (!closing_ && Clock::now() < until) changed_.wait_until(mutex_, until);
      if (closing_) return;
      for (size_t home = static_cast<size_t>(slice); home < members_.size(); home += kSlices) {
        if (members_[home]) members.push_back(members_[home]);
      }
    }
    for (const auto& member : members) member->beat();
  }
}

}  // namespace trireme::testing
