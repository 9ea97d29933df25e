// Membership while a generation runs: beats, losses and its end. Joining is in roster_join.cc.
#include "distributed/coordination/member_table.h"

#include <algorithm>

#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// How long a report waits for the end of the connection that it is about.
constexpr milliseconds kReportDelay{100};
// How long a member may take from joining to its first beat, besides the heartbeat timeout, and
// what each member adds to that: they all come at once.
constexpr milliseconds kAttendTimeout{2000}, kAttendOfEach{20};
// A silent member is lost this much later than a collective times out: when somebody waits for it,
// the report of that tells more.
constexpr milliseconds kSilenceMargin{500};
// So many beats may be lost before a member counts as silent.
constexpr int kBeats = 5;
// How a deadline for signs of life grows with how late the machine runs its threads.
constexpr int kSlownessFactor = 4;
constexpr size_t kCauses = 16;
constexpr size_t kMessageLimit = 4096;

}  // namespace

MemberTable::MemberTable(const CoordinatorOptions& options)
    : options_(options),
      silence_(std::max(options.heartbeat_timeout,
                        kBeats * beat_interval(milliseconds(0), options.world_size))),
      detector_({.warning = options.stall_warning,
                 .timeout = options.collective_timeout,
                 .silence = silence_}) {}

std::vector<Peer> MemberTable::peers() const {
  std::vector<Peer> peers;
  peers.reserve(members_.size());
  for (const auto& member : members_) peers.push_back(member.peer);
  return peers;
}

std::optional<Error> MemberTable::ended(int64_t generation) const {
  if (running_ && generation == generation_) return std::nullopt;
  const auto found = causes_.find(generation);
  if (found != causes_.end()) return found->second;
  return Error(ErrorCode::kUnavailable, str_cat("generation ", generation, " is not running"));
}

MemberTable::Member* MemberTable::find(int64_t generation, int rank) {
  if (generation != generation_ || rank < 0 || rank >= size()) return nullptr;
  return &members_[static_cast<size_t>(rank)];
}

const MemberTable::Member* MemberTable::member_of(uint64_t task) const {
  const auto found = ranks_.find(task);
  return found == ranks_.end() ? nullptr : &members_[static_cast<size_t>(found->second)];
}

const MemberTable::Member* MemberTable::member_at(int home) const {
  const auto found = std::lower_bound(members_.begin(), members_.end(), home,
                                      [](const Member& m, int wanted) { return m.home < wanted; });
  return found == members_.end() || found->home != home ? nullptr : &*found;
}

void MemberTable::set_state(Member& member, State state) {
  const bool was_alive = member.alive();
  member.state = state;
  if (!was_alive || member.alive()) return;
  --alive_;
  alive_back_ -= member.back ? 1 : 0;
}

void MemberTable::beat(int64_t generation, int rank, const MemberBeat& beat, Time now,
                       milliseconds late) {
  Member* member = find(generation, rank);
  if (member == nullptr || !member->alive()) return;
  member->state = State::kAttending;
  member->late = std::clamp(late, milliseconds(0), options_.collective_timeout);
  detector_.beat(rank, beat, now);
}

void MemberTable::report(int64_t generation, int rank, const Error& error, Time now) {
  const Member* member = find(generation, rank);
  if (member == nullptr || !running_) return;
  if (reported_) {
    ++reported_->others;
    return;
  }
  const std::string message =
      str_cat(member->peer.to_string(), " reports: ", clean(error.what(), kMessageLimit));
  reported_ = {.error = Error(error.code(), message), .at = now};
}

void MemberTable::begin_again(const Error& why, Time now) {
  if (running_) end(why, now);
  answer_all(why);
}

void MemberTable::leave(int64_t generation, int rank) {
  Member* member = find(generation, rank);
  if (member == nullptr || !member->alive()) return;
  set_state(*member, State::kLeft);
  detector_.leave(rank);
  log_.push_back(str_cat(member->peer.to_string(), " has left"));
}

void MemberTable::detach(int64_t generation, int rank, Time now) {
  const Member* member = find(generation, rank);
  if (member == nullptr || !member->alive()) return;
  lose({rank}, "its connection to the coordinator ended", now);
}

// `why`: of one, "it has …"; of several, what is true of the first.
void MemberTable::lose(const std::vector<int>& ranks, const std::string& why, Time now) {
  for (const int rank : ranks) set_state(members_[static_cast<size_t>(rank)], State::kLost);
  const Peer& first = peer(ranks.front());
  const std::string message =
      ranks.size() == 1
          ? str_cat(first.to_string(), " was lost ", detector_.where(first.rank), ": ", why)
          : str_cat(name_some(ranks.size(), [&](size_t i) { return peer(ranks[i]).to_string(); }),
                    " were lost, ", ranks.size(), " of ", size(), "; the first of them ",
                    detector_.where(first.rank), ": ", why);
  if (running_) {
    end({ErrorCode::kUnavailable, message}, now, true);
  } else {
    log_.push_back(message);
  }
}

void MemberTable::end(const Error& cause, Time now, bool a_task_died) {
  if (!a_task_died && cause.code() != ErrorCode::kCancelled) ++fruitless_;
  running_ = false;
  ended_ = now;
  const int others = reported_ ? reported_->others : 0;
  reported_.reset();
  causes_.insert_or_assign(generation_, cause);
  if (causes_.size() > kCauses) causes_.erase(causes_.begin());
  for (const auto& member : members_) {
    if (member.state == State::kLeft) continue;
    orders_.push_back({.generation = generation_, .rank = member.peer.rank, .fault = cause});
  }
  log_.push_back(str_cat("generation ", generation_, " has ended: ", cause.what(),
                         others == 0 ? "" : str_cat(" (", others, " more have reported faults)")));
}

void MemberTable::tick(Time now) {
  note_tick(now);
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

// Either the coordinator's own thread ran late, or half of the members are heard of late: then it
// is not they who are slow.
milliseconds MemberTable::slowness(Time now) const {
  std::vector<Time> heard;
  for (const auto& member : members_) {
    if (member.alive()) heard.push_back(detector_.heard(member.peer.rank));
  }
  milliseconds slow = lateness_.value(now);
  if (heard.size() > 2) {
    const auto middle = heard.begin() + static_cast<std::ptrdiff_t>(heard.size() / 2);
    std::nth_element(heard.begin(), middle, heard.end());
    slow = std::max(slow, std::chrono::floor<milliseconds>(now - *middle) - silence_ / kBeats);
  }
  return std::clamp(kSlownessFactor * slow, milliseconds(0), options_.collective_timeout);
}

void MemberTable::check_members(Time now) {
  const auto attend = std::max(kAttendTimeout, silence_);
  const auto expected = std::clamp(attend + kAttendOfEach * size(), attend,
                                   std::max(attend, options_.collective_timeout));
  const auto silent = std::max(options_.collective_timeout, silence_) + kSilenceMargin;
  std::optional<milliseconds> slow;  // takes a time that grows with the group
  const auto is_late = [&](const Member& member, milliseconds since, milliseconds limit) {
    if (since <= limit) return false;
    if (!slow) slow = slowness(now);
    return since > limit + std::max(*slow, member.late);
  };
  std::vector<int> never, lost;
  const auto formed = std::chrono::ceil<milliseconds>(now - formed_);
  for (const auto& member : members_) {
    const int rank = member.peer.rank;
    const auto silence = std::chrono::ceil<milliseconds>(now - detector_.heard(rank));
    if (member.state == State::kExpected && is_late(member, formed, expected)) {
      never.push_back(rank);
    } else if (running_ && member.state == State::kAttending && is_late(member, silence, silent)) {
      lost.push_back(rank);
    }
  }
  if (!never.empty()) {
    lose(never, str_cat("it has not been heard of since it joined, ", seconds_text(formed), " ago"),
         now);
  }
  if (lost.empty()) return;
  const std::string why = str_cat("it has given no sign of life for ",
                                  seconds_text(now - detector_.heard(lost.front())));
  lose(lost, why, now);
  for (const int rank : lost) replace(members_[static_cast<size_t>(rank)], why, now);
}

void MemberTable::check_stalls(Time now) {
  auto report = detector_.check(now);
  if (!report) return;
  if (report->expired && !report->silent.empty()) {
    // Who beats late on a slow machine is not gone.
    const auto slow = slowness(now);
    std::erase_if(report->silent, [&](int rank) {
      const auto limit = std::max(slow, members_[static_cast<size_t>(rank)].late);
      return now - detector_.heard(rank) <= silence_ + limit;
    });
  }
  if (report->expired) {
    // Those that do not even beat are gone; the others may be stuck, and are asked to join again.
    for (int rank : report->missing) members_[static_cast<size_t>(rank)].named = true;
    for (int rank : report->silent) set_state(members_[static_cast<size_t>(rank)], State::kLost);
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
