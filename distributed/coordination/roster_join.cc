// Joining: refusals, homes, and when a generation is complete.
#include <algorithm>

#include "distributed/coordination/roster.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// How long the first survivors wait for one that is alive but has not joined again: it may be in
// the middle of a step.
constexpr milliseconds kSurvivorGrace{5000};
// A smaller generation runs at least so long before somebody is let in.
constexpr milliseconds kAdmissionInterval{1000};
// How long it may take until it is known that a task that waits has died.
constexpr milliseconds kClaimDelay{300};
// Generations in a row that end without a step: so many follow each other at once, then pauses
// double, and after so many the job has failed.
constexpr int kFruitlessAtOnce = 2, kMostFruitless = 12;
constexpr milliseconds kFirstPause{100}, kLongestPause{5000};
constexpr size_t kNameLimit = 256;
constexpr size_t kFieldLimit = 1 << 20;
constexpr size_t kHandshakeFields = 64;
constexpr size_t kRememberedTasks = 4096;

std::string describe(const JoinRequest& request, int rank) {
  if (rank < 0) return str_cat("a task (host ", request.host, ", pid ", request.pid, ")");
  return str_cat("rank ", rank, " (host ", request.host, ", pid ", request.pid, ")");
}

// Why a request is not to be believed; empty: it is in order.
std::string malformed(const JoinRequest& request) {
  if (request.handshake.size() > kHandshakeFields) return "its handshake has too many fields";
  for (const auto& [field, value] : request.handshake) {
    if (field.size() > kNameLimit || value.size() > kFieldLimit) return "its handshake is too long";
  }
  if (request.host.size() > kNameLimit || request.host_id.size() > kNameLimit ||
      request.address.size() > kNameLimit) {
    return "its host name or address is too long";
  }
  if (request.progress < 0) return "its progress is negative";
  return "";
}

std::string field_difference(const std::string& who, const std::string& field,
                             const std::string& theirs, const std::string& ours) {
  const auto [found, expected] = show_difference(theirs, ours);
  return str_cat(who, " has ", field, " ", found, ", the job has ", expected,
                 ": all tasks must run the same program and job file on the same data");
}

}  // namespace

Roster::Ticket Roster::join(JoinRequest request, uint64_t task, Time now) {
  const Ticket ticket = next_ticket_++;
  request.host = clean(request.host, kNameLimit);
  if (failed_) {
    answers_.emplace(ticket, *failed_);
    return ticket;
  }
  int home = -1;
  if (const auto why = refusal(request, task, &home)) {
    log_.push_back("refused: " + *why);
    answers_.emplace(ticket, Error(ErrorCode::kInvalidArgument, *why));
    return ticket;
  }
  if (!handshake_) handshake_ = request.handshake;
  claims_.emplace(ticket, Claim{{std::move(request), task, home}, now});
  settle_claims(now);
  admit(now);
  form_if_complete(now);
  return ticket;
}

void Roster::fail(const Error& error) {
  // A generation that runs does not need who tells this, for none of its members does.
  if (failed_ || running_) return;
  failed_ = error;
  log_.push_back(str_cat("the job has failed: ", error.what()));
  for (const auto& [ticket, waiting] : waiting_) answers_.emplace(ticket, error);
  for (const auto& [ticket, claim] : claims_) answers_.emplace(ticket, error);
  waiting_.clear();
  claims_.clear();
  note_waiting();
}

void Roster::settle_claims(Time now) {
  for (auto entry = claims_.begin(); entry != claims_.end();) {
    const auto& [ticket, claim] = *entry;
    std::string why;
    const Claimed state = check_claim(claim, now, &why);
    if (state == Claimed::kUndecided) {
      ++entry;
      continue;
    }
    if (state == Claimed::kFree) {
      accept(ticket, claim.waiting, now);
    } else {
      log_.push_back("refused: " + why);
      answers_.emplace(ticket, Error(ErrorCode::kInvalidArgument, why));
    }
    entry = claims_.erase(entry);
  }
}

// Whether the place that a task wants is free. A process may be started again before it is known
// here that it died, so a place is taken only when its holder gives a sign of life after the claim.
Roster::Claimed Roster::check_claim(const Claim& claim, Time now, std::string* why) const {
  const auto& [request, task, home] = claim.waiting;
  const auto matches = [&, task = task, home = home](int holder, uint64_t holder_task) {
    return holder_task != task && (home < 0 || holder == home);
  };
  int holders = 0, proven = 0;
  std::string holder;
  for (const auto& member : members_) {
    if (!member.alive() || !matches(member.home, member.task)) continue;
    ++holders;
    proven += detector_.heard(member.peer.rank) > claim.at ? 1 : 0;
    holder =
        str_cat("rank ", member.home, " (host ", member.peer.host, ", pid ", member.peer.pid, ")");
  }
  for (const auto& [ticket, waiting] : waiting_) {
    if (!matches(waiting.home, waiting.task) || is_member(waiting.task)) continue;
    ++holders;
    proven += now - claim.at >= kClaimDelay ? 1 : 0;
    holder = describe(waiting.request, waiting.home);
  }
  const int places = home < 0 ? options_.world_size : 1;
  if (holders < places) return Claimed::kFree;
  if (proven < places && now - claim.at < options_.join_timeout) return Claimed::kUndecided;
  const std::string who = describe(request, home);
  *why = home < 0 ? str_cat(who, " is one too many: all ", places, " workers are there")
                  : str_cat(who, " cannot join: rank ", home, " is taken by ", holder,
                            ": two tasks were started as rank ", home);
  return Claimed::kTaken;
}

bool Roster::is_member(uint64_t task) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const Member& member) { return member.alive() && member.task == task; });
}

void Roster::accept(Ticket ticket, const Waiting& waiting, Time now) {
  // A member that joins again has given up its generation, whatever the others still think of it.
  for (const auto& member : members_) {
    if (running_ && member.task == waiting.task && member.alive()) {
      end({ErrorCode::kUnavailable,
           str_cat(member.peer.to_string(), " has given up generation ", generation_, " ",
                   detector_.where(member.peer.rank), " and joins again",
                   waiting.request.gave_up.empty() ? "" : ": ", waiting.request.gave_up)},
          now);
    }
  }
  std::erase_if(waiting_, [&](const auto& entry) { return entry.second.task == waiting.task; });
  if (waiting_.empty()) waiting_since_ = now;
  waiting_.emplace(ticket, waiting);
  log_.push_back(str_cat(describe(waiting.request, waiting.home), " has joined: ", waiting_.size(),
                         " of ", options_.world_size));
}

std::optional<Roster::Answer> Roster::take_answer(Ticket ticket) {
  const auto found = answers_.find(ticket);
  if (found == answers_.end()) return std::nullopt;
  Answer answer = std::move(found->second);
  answers_.erase(found);
  return answer;
}

void Roster::withdraw(Ticket ticket) {
  answers_.erase(ticket);
  claims_.erase(ticket);
  waiting_.erase(ticket);
  note_waiting();
}

void Roster::note_waiting() {
  if (!waiting_.empty()) return;
  waiting_since_.reset();
  if (generation_ == 0 && claims_.empty()) handshake_.reset();  // nobody is left who set it
}

std::optional<std::string> Roster::refusal(const JoinRequest& request, uint64_t task,
                                           int* home) const {
  *home = request.rank;
  if (const auto known = homes_.find(task); known != homes_.end()) *home = known->second;
  const std::string who = describe(request, *home);
  if (const std::string why = malformed(request); !why.empty()) return str_cat(who, ": ", why);
  if (request.world_size != options_.world_size) {
    return field_difference(who, "world_size", std::to_string(request.world_size),
                            std::to_string(options_.world_size));
  }
  if (*home < -1 || *home >= options_.world_size) {
    return str_cat(who, " is not a rank of this job: it has ", options_.world_size,
                   " workers, counted from 0");
  }
  if (handshake_) {
    // Fields that only the job has count as much as those that only the task has.
    auto fields = *handshake_;
    fields.insert(request.handshake.begin(), request.handshake.end());
    for (const auto& [field, unused] : fields) {
      const auto value = [&field = field](const std::map<std::string, std::string>& from) {
        const auto found = from.find(field);
        return found == from.end() ? std::string() : found->second;
      };
      const std::string theirs = value(request.handshake), ours = value(*handshake_);
      if (theirs != ours) return field_difference(who, clean(field, kNameLimit), theirs, ours);
    }
  }
  if (*home >= 0) {
    const auto latest = incarnations_.find(*home);
    if (latest != incarnations_.end() && request.incarnation < latest->second) {
      return str_cat(who, " is start ", request.incarnation, " of this rank, and start ",
                     latest->second, " has been here: a task that was replaced must not come back");
    }
  }
  return std::nullopt;
}

// Lets those in who wait beside a smaller generation, when with them it can go on.
void Roster::admit(Time now) {
  if (!running_ || waiting_.empty() || now - formed_ < kAdmissionInterval) return;
  const int needed =
      options_.min_workers > 0 && members() > 0 ? options_.min_workers : options_.world_size;
  if (members() + static_cast<int>(waiting_.size()) < needed) return;
  std::vector<std::string> names;
  for (const auto& [ticket, waiting] : waiting_) {
    names.push_back(describe(waiting.request, waiting.home));
  }
  end({ErrorCode::kCancelled,
       str_cat(names.size() == 1 ? "a worker joins: " : "workers join: ", join_words(names))},
      now);
}

bool Roster::everyone_is_back() const {
  return std::all_of(members_.begin(), members_.end(), [&](const Member& member) {
    return !member.alive() || std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& entry) {
      return entry.second.task == member.task;
    });
  });
}

// Where generations end one after another without a step, the next ones come later, and then none.
bool Roster::may_form(Time now) {
  if (fruitless_ <= kFruitlessAtOnce) return true;
  if (fruitless_ >= kMostFruitless) {
    const auto last = causes_.find(generation_);
    const Error error(
        ErrorCode::kUnavailable,
        str_cat(fruitless_,
                " generations in a row ended before a step was finished; the last one: ",
                last == causes_.end() ? "" : last->second.what()));
    for (const auto& [ticket, waiting] : waiting_) answers_.emplace(ticket, error);
    log_.push_back(error.what());
    waiting_.clear();
    note_waiting();
    fruitless_ = 0;  // those that a launcher starts again try anew
    return false;
  }
  const auto pause = kFirstPause * (1 << (fruitless_ - kFruitlessAtOnce - 1));
  return now - ended_ >= std::min<milliseconds>(pause, kLongestPause);
}

void Roster::form_if_complete(Time now) {
  if (running_ || waiting_.empty() || !may_form(now)) return;
  const int count = static_cast<int>(waiting_.size());
  if (count >= options_.world_size) {
    form(now);
  } else if (generation_ > 0 && options_.min_workers > 0 && count >= options_.min_workers) {
    const bool survivor = std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return std::any_of(waiting_.begin(), waiting_.end(),
                         [&](const auto& entry) { return entry.second.task == member.task; });
    });
    if (survivor && (everyone_is_back() || now - ended_ >= kSurvivorGrace)) form(now);
  }
}

void Roster::give_homes() {
  for (auto& [ticket, waiting] : waiting_) {
    if (waiting.home >= 0) continue;
    int home = 0;
    while (std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const auto& entry) { return entry.second.home == home; })) {
      ++home;
    }
    waiting.home = home;
  }
}

void Roster::form(Time now) {
  give_homes();
  std::vector<std::pair<Ticket, Waiting>> order(waiting_.begin(), waiting_.end());
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second.home < b.second.home; });
  waiting_.clear();
  waiting_since_.reset();
  members_.clear();
  ++generation_;

  Membership membership;
  membership.group.generation = generation_;
  membership.group.job_id = options_.job_id;
  std::vector<std::string> names;
  for (const auto& [ticket, waiting] : order) {
    const auto& request = waiting.request;
    const int rank = static_cast<int>(members_.size());
    members_.push_back({.peer = {.rank = rank,
                                 .host = request.host,
                                 .host_id = request.host_id,
                                 .pid = request.pid,
                                 .address = request.address},
                        .home = waiting.home,
                        .task = waiting.task,
                        .incarnation = request.incarnation});
    names.push_back(members_.back().peer.to_string());
    if (rank == 0 || request.progress > membership.progress) {
      membership.state_source = rank;
      membership.progress = request.progress;
    }
    incarnations_[waiting.home] = std::max(incarnations_[waiting.home], request.incarnation);
    if (homes_.size() >= kRememberedTasks) homes_.clear();
    homes_[waiting.task] = waiting.home;
  }
  if (membership.progress > progress_) fruitless_ = 0;
  progress_ = membership.progress;
  membership.group.peers = peers();
  for (size_t i = 0; i < order.size(); ++i) {
    membership.group.rank = static_cast<int>(i);
    answers_.emplace(order[i].first, membership);
  }
  running_ = true;
  formed_ = now;
  detector_.reset(membership.group.peers, now);
  log_.push_back(str_cat("generation ", generation_, " begins at step ", membership.progress, ": ",
                         join_words(names)));
}

std::vector<int> Roster::missing_homes() const {
  std::vector<bool> there(static_cast<size_t>(options_.world_size), false);
  for (const auto& [ticket, waiting] : waiting_) {
    if (waiting.home >= 0) there[static_cast<size_t>(waiting.home)] = true;
  }
  for (const auto& member : members_) {
    if (running_ && member.alive()) there[static_cast<size_t>(member.home)] = true;
  }
  for (const auto& [ticket, waiting] : waiting_) {  // any rank: the lowest that is free
    const auto free = std::find(there.begin(), there.end(), false);
    if (waiting.home < 0 && free != there.end()) *free = true;
  }
  std::vector<int> missing;
  for (int rank = 0; rank < options_.world_size; ++rank) {
    if (!there[static_cast<size_t>(rank)]) missing.push_back(rank);
  }
  return missing;
}

void Roster::expire_joins(Time now) {
  if (waiting_.empty() || now - *waiting_since_ < options_.join_timeout) return;
  const int count = static_cast<int>(waiting_.size());
  if (!running_ && generation_ > 0 && options_.min_workers > 0 && count >= options_.min_workers) {
    form(now);
    return;
  }
  const auto last = causes_.find(generation_);
  const std::string message =
      str_cat("waited ", seconds_text(options_.join_timeout), " for the job's ",
              options_.world_size, " workers; ", name_ranks(missing_homes()), " did not come",
              last == causes_.end()
                  ? ""
                  : str_cat("; generation ", generation_, " ended: ", last->second.what()));
  log_.push_back(message);
  if (replace_missing(message)) {
    waiting_since_ = now;
    return;
  }
  for (const auto& [ticket, waiting] : waiting_) {
    answers_.emplace(ticket, Error(ErrorCode::kDeadlineExceeded, message));
  }
  waiting_.clear();
  note_waiting();
}

}  // namespace trireme
