#include "distributed/coordination/coordinator_state.h"

#include <pthread.h>

#include <algorithm>

#include "core/base/logging.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.pb.h"

namespace trireme {
namespace {

using coordination::Order;
using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
constexpr size_t kCallerLimit = 128;

Order to_order(Order::Kind kind, const Error& error) {
  Order order;
  order.set_kind(kind);
  order.set_code(to_number(error.code()));
  order.set_message(error.what());
  return order;
}

}  // namespace

CoordinatorState::Deliveries::~Deliveries() {
  for (const auto& line : lines_) line->send();
  for (auto& [got, error, value] : ends_) got(std::move(error), std::move(value));
}

CoordinatorState::CoordinatorState(CoordinatorOptions options)
    : options_(std::move(options)), member_table_(options_), thread_([this] { tick(); }) {}

CoordinatorState::~CoordinatorState() {
  stop();
  thread_.join();
}

Error CoordinatorState::stopping() const {
  return {ErrorCode::kUnavailable, "the coordinator ends"};
}

void CoordinatorState::stop() {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  if (std::exchange(stopping_, true)) return;
  for (const auto& [ticket, line] : joining_) refuse(deliveries, line, stopping());
  joining_.clear();
  for (const auto& [key, line] : lines_) line->close();
  while (!waits_.empty()) deliveries.add(take_wait(waits_.begin()), stopping());
  ticker_.notify_all();
}

void CoordinatorState::tick() {
  pthread_setname_np(pthread_self(), "coordinator");
  bool stopping = false;
  while (!stopping) {
    std::vector<std::string> lines;
    {
      Deliveries deliveries;
      MutexLock lock(mutex_);
      if (log_.empty() && !stopping_) {
        auto next = Clock::now() + kTick;
        if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
        ticker_.wait_until(mutex_, next);
      }
      const auto now = Clock::now();
      if (!stopping_) member_table_.tick(now);
      publish(deliveries);
      expire_waits(deliveries, now);
      lines.swap(log_);
      stopping = stopping_;
    }
    for (const auto& line : lines) {
      if (options_.log) {
        options_.log(line);
      } else {
        log_info(line);
      }
    }
  }
}

void CoordinatorState::publish(Deliveries& deliveries) {
  // Orders of the generation that ended, before the next one has its members.
  publish_orders(deliveries, member_table_.take_orders());
  publish_answers(deliveries);
  auto lines = member_table_.take_log();
  if (!lines.empty()) {
    std::move(lines.begin(), lines.end(), std::back_inserter(log_));
    ticker_.notify_all();
  }
  if (!member_table_.is_running()) end_barriers(deliveries);
}

void CoordinatorState::publish_orders(Deliveries& deliveries,
                                      std::vector<MemberTable::Order> orders) {
  for (auto& order : orders) {
    const auto rank = static_cast<size_t>(order.rank);
    if (order.generation != generation_ || rank >= members_.size() || !members_[rank]) continue;
    Order message;
    if (order.fault) {
      message = to_order(Order::FAULT, *order.fault);
      message.set_generation(order.generation);
    } else {
      message.set_kind(Order::STALL);
      message.set_message(std::move(order.stall));
    }
    members_[rank]->enqueue(std::move(message));
    deliveries.add(members_[rank]);
  }
}

void CoordinatorState::begin_generation() {
  generation_ = member_table_.generation();
  job_store_.reset(member_table_.size());
  members_.assign(static_cast<size_t>(member_table_.size()), nullptr);
  group_ = std::make_unique<coordination::MembershipMessage>();
  describe_group(member_table_.peers(), group_.get());
  group_->set_silence_timeout_ms(
      std::max(options_.collective_timeout, options_.heartbeat_timeout).count());
}

void CoordinatorState::publish_answers(Deliveries& deliveries) {
  for (auto& [ticket, answer] : member_table_.take_answers()) {
    const auto found = joining_.find(ticket);
    if (found == joining_.end()) continue;
    const auto line = found->second;
    joining_.erase(found);
    line->ticket = 0;
    if (const auto* error = std::get_if<Error>(&answer)) {
      refuse(deliveries, line, *error);
      continue;
    }
    const auto& place = std::get<MemberTable::Place>(answer);
    if (place.generation != generation_) {
      end_barriers(deliveries);
      begin_generation();
    }
    line->generation = place.generation;
    line->rank = place.rank;
    members_[static_cast<size_t>(place.rank)] = line;
    Order order;
    order.set_kind(Order::MEMBER);
    coordination::MembershipMessage& membership = *order.mutable_membership();
    membership = *group_;
    membership.set_generation(place.generation);
    membership.set_rank(place.rank);
    membership.set_state_source(place.state_source);
    membership.set_progress(place.progress);
    line->enqueue(std::move(order));
    deliveries.add(line);
  }
}

void CoordinatorState::refuse(Deliveries& deliveries, const std::shared_ptr<MemberConnection>& line,
                              const Error& error) {
  ++told_of_failure_;
  line->enqueue(to_order(Order::REFUSED, error));
  deliveries.add(line);
}

void CoordinatorState::begin_again(const std::string& session, const Error& why) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  session_ = session;
  session_over_ = why;
  member_table_.begin_again(why, Clock::now());
  publish(deliveries);
}

void CoordinatorState::attach(const std::shared_ptr<MemberConnection>& line) {
  MutexLock lock(mutex_);
  if (stopping_) throw stopping();
  lines_.emplace(line.get(), line);
}

void CoordinatorState::withdraw(MemberConnection& line) {
  if (line.ticket == 0) return;
  member_table_.withdraw(line.ticket);
  joining_.erase(line.ticket);
  line.ticket = 0;
}

void CoordinatorState::join(const std::shared_ptr<MemberConnection>& line, JoinRequest request,
                            uint64_t task) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  if (stopping_) return refuse(deliveries, line, stopping());
  if (line->task != 0 && line->task != task) {
    throw invalid_argument("two tasks join over one line");
  }
  line->task = task;
  if (session_over_ && !request.session.empty() && request.session != session_) {
    return refuse(deliveries, line, *session_over_);
  }
  withdraw(*line);
  line->who = str_cat("rank ", request.rank, " (host ", clean(request.host, kCallerLimit), ", pid ",
                      request.pid, ")");
  request.same_handshake = request.same_handshake && line->generation != 0;
  line->ticket = member_table_.join(std::move(request), task, Clock::now());
  joining_.emplace(line->ticket, line);
  publish(deliveries);
}

void CoordinatorState::beat(const std::shared_ptr<MemberConnection>& line, int64_t generation,
                            const MemberBeat& beat, milliseconds late) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  if (generation != 0 && generation == line->generation) {
    member_table_.beat(generation, line->rank, beat, Clock::now(), late);
  }
  line->enqueue_sign_of_life();
  deliveries.add(line);
}

void CoordinatorState::report(MemberConnection& line, int64_t generation, const Error& error) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  if (generation != line.generation) return;
  member_table_.report(generation, line.rank, error, Clock::now());
  publish(deliveries);
}

void CoordinatorState::told_to_stop(MemberConnection& line, int signal) {
  StoppedTask task{.signal = signal};
  {
    MutexLock lock(mutex_);
    if (std::exchange(line.told_to_stop, true)) return;
    const bool member = line.generation != 0 && line.generation == member_table_.generation();
    task.who = member ? member_table_.peer(line.rank).to_string() : line.who;
  }
  if (options_.stop) options_.stop(task);
}

void CoordinatorState::fail(const Error& error) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  member_table_.fail(error);
  publish(deliveries);
}

int CoordinatorState::told_of_failure() const {
  MutexLock lock(mutex_);
  return told_of_failure_;
}

void CoordinatorState::count_told_of_failure() {
  MutexLock lock(mutex_);
  ++told_of_failure_;
}

void CoordinatorState::leave(MemberConnection& line) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  withdraw(line);
  member_table_.leave(line.generation, line.rank);
  publish(deliveries);
}

void CoordinatorState::detach(const std::shared_ptr<MemberConnection>& line) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  lines_.erase(line.get());
  const auto rank = static_cast<size_t>(line->rank);
  if (line->generation == generation_ && rank < members_.size() && members_[rank] == line) {
    members_[rank].reset();
  }
  if (stopping_) return;
  withdraw(*line);
  member_table_.detach(line->generation, line->rank, Clock::now());
  publish(deliveries);
}

std::vector<Peer> CoordinatorState::peers(int64_t generation, const std::vector<int>& ranks) const {
  MutexLock lock(mutex_);
  if (auto cause = member_table_.ended(generation)) throw Error(*cause);
  std::vector<Peer> peers;
  if (ranks.size() > static_cast<size_t>(member_table_.size())) {
    throw invalid_argument("generation ", generation, " has ", member_table_.size(),
                           " ranks, found a call for ", ranks.size());
  }
  peers.reserve(ranks.size());
  for (const int rank : ranks) {
    if (rank < 0 || rank >= member_table_.size()) {
      throw invalid_argument("there is no rank ", rank, " in generation ", generation, " of ",
                             member_table_.size());
    }
    peers.push_back(member_table_.peer(rank));
  }
  return peers;
}

int64_t CoordinatorState::generation() const {
  MutexLock lock(mutex_);
  return member_table_.generation();
}

int CoordinatorState::members() const {
  MutexLock lock(mutex_);
  return member_table_.members();
}

}  // namespace trireme
