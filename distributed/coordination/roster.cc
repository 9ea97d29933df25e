// Membership while a generation runs: streams, beats, losses and its end. Joining is in
// roster_join.cc.
#include "distributed/coordination/roster.h"

#include <algorithm>

#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// How long a report waits for the end of the connection that it is about.
constexpr milliseconds kReportDelay{100};
// How long a member may take from joining to its stream, besides the heartbeat timeout.
constexpr milliseconds kAttendTimeout{2000};
// A silent member is lost this much later than a collective times out: when somebody waits for it,
// the report of that tells more.
constexpr milliseconds kSilenceMargin{500};
constexpr size_t kCauses = 16;
constexpr size_t kMessageLimit = 4096;

}  // namespace

Roster::Roster(const CoordinatorOptions& options)
    : options_(options),
      detector_({.warning = options.stall_warning,
                 .timeout = options.collective_timeout,
                 .silence = options.heartbeat_timeout}) {}

int Roster::members() const {
  if (!running_) return 0;
  return static_cast<int>(
      std::count_if(members_.begin(), members_.end(), [](auto& m) { return m.alive(); }));
}

std::vector<Peer> Roster::peers() const {
  std::vector<Peer> peers;
  for (const auto& member : members_) peers.push_back(member.peer);
  return peers;
}

std::optional<Error> Roster::ended(int64_t generation) const {
  if (running_ && generation == generation_) return std::nullopt;
  const auto found = causes_.find(generation);
  if (found != causes_.end()) return found->second;
  return Error(ErrorCode::kUnavailable, str_cat("generation ", generation, " is not running"));
}

Roster::Member* Roster::find(int64_t generation, int rank) {
  if (generation != generation_ || rank < 0 || rank >= static_cast<int>(members_.size())) {
    return nullptr;
  }
  return &members_[static_cast<size_t>(rank)];
}

bool Roster::is_expected(int64_t generation, int rank) const {
  return generation == generation_ && rank >= 0 && rank < static_cast<int>(members_.size()) &&
         members_[static_cast<size_t>(rank)].state == State::kExpected;
}

void Roster::attend(int64_t generation, int rank, Time now) {
  Member* member = find(generation, rank);
  if (member == nullptr && (generation <= 0 || generation >= generation_)) {
    throw invalid_argument("there is no rank ", rank, " in generation ", generation);
  }
  if (member != nullptr && member->state == State::kAttending) {
    throw invalid_argument(member->peer.to_string(), " is connected already");
  }
  // One that was given up, but lives, is told so and joins again.
  if (member != nullptr && member->state == State::kExpected) {
    member->state = State::kAttending;
    detector_.beat(rank, {}, now);
  }
  if (auto cause = ended(generation)) {
    orders_.push_back({.generation = generation, .rank = rank, .fault = cause});
  }
}

void Roster::beat(int64_t generation, int rank, const MemberBeat& beat, Time now) {
  const Member* member = find(generation, rank);
  if (member != nullptr && member->state == State::kAttending) detector_.beat(rank, beat, now);
}

void Roster::report(int64_t generation, int rank, const Error& error, Time now) {
  const Member* member = find(generation, rank);
  if (member == nullptr || !running_ || reported_) return;
  const std::string message =
      str_cat(member->peer.to_string(), " reports: ", clean(error.what(), kMessageLimit));
  reported_ = {Error(error.code(), message), now};
}

void Roster::begin_again(const Error& why, Time now) {
  if (running_) end(why, now);
  for (const auto& [ticket, claim] : claims_) answers_.insert_or_assign(ticket, why);
  for (const auto& [ticket, waiting] : waiting_) answers_.insert_or_assign(ticket, why);
  claims_.clear();
  waiting_.clear();
  note_waiting();
}

void Roster::leave(int64_t generation, int rank) {
  Member* member = find(generation, rank);
  if (member == nullptr || !member->alive()) return;
  member->state = State::kLeft;
  detector_.leave(rank);
  log_.push_back(str_cat(member->peer.to_string(), " has left"));
}

void Roster::detach(int64_t generation, int rank, Time now) {
  Member* member = find(generation, rank);
  if (member == nullptr || !member->alive()) return;
  lose(*member, "its connection to the coordinator ended", now);
}

void Roster::lose(Member& member, const std::string& why, Time now) {
  member.state = State::kLost;
  const std::string message =
      str_cat(member.peer.to_string(), " was lost ", detector_.where(member.peer.rank), ": ", why);
  if (running_) {
    end({ErrorCode::kUnavailable, message}, now, true);
  } else {
    log_.push_back(message);
  }
}

void Roster::end(const Error& cause, Time now, bool a_task_died) {
  if (!a_task_died && cause.code() != ErrorCode::kCancelled) ++fruitless_;
  running_ = false;
  ended_ = now;
  reported_.reset();
  causes_.insert_or_assign(generation_, cause);
  if (causes_.size() > kCauses) causes_.erase(causes_.begin());
  for (const auto& member : members_) {
    if (member.state == State::kLeft) continue;
    orders_.push_back({.generation = generation_, .rank = member.peer.rank, .fault = cause});
  }
  log_.push_back(str_cat("generation ", generation_, " has ended: ", cause.what()));
}

void Roster::tick(Time now) {
  excuse_pause(now);
  check_members(now);
  check_return(now);
  if (running_ && reported_ && now - reported_->at >= kReportDelay) {
    end(Error(reported_->error), now);
  }
  if (running_) check_stalls(now);
  settle_claims(now);
  admit(now);
  form_if_complete(now);
  expire_joins(now);
}

void Roster::check_members(Time now) {
  for (auto& member : members_) {
    const auto silence = now - detector_.heard(member.peer.rank);
    if (member.state == State::kExpected &&
        now - formed_ > std::max(kAttendTimeout, options_.heartbeat_timeout)) {
      lose(member, "it has not been heard of since it joined", now);
    } else if (running_ && member.state == State::kAttending &&
               silence > std::max(options_.collective_timeout, options_.heartbeat_timeout) +
                             kSilenceMargin) {
      const std::string why = str_cat("it has given no sign of life for ", seconds_text(silence));
      lose(member, why, now);
      replace(member, why, now);
    }
  }
}

void Roster::check_stalls(Time now) {
  const auto report = detector_.check(now);
  if (!report) return;
  if (report->expired) {
    // Those that do not even beat are gone; the others may be stuck, and are asked to join again.
    for (int rank : report->missing) members_[static_cast<size_t>(rank)].named = true;
    for (int rank : report->silent) members_[static_cast<size_t>(rank)].state = State::kLost;
    end({ErrorCode::kDeadlineExceeded, str_cat(report->message, "; the collective timed out after ",
                                               seconds_text(options_.collective_timeout))},
        now);
    for (int rank : report->silent) {
      replace(members_[static_cast<size_t>(rank)], report->message, now);
    }
    return;
  }
  log_.push_back(report->message);
  for (const auto& member : members_) {
    if (member.state != State::kAttending) continue;
    orders_.push_back({.generation = generation_,
                       .rank = member.peer.rank,
                       .fault = {},
                       .stall = report->message});
  }
}

}  // namespace trireme
