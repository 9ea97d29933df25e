// Joining: refusals, homes, and when a generation is complete.
#include <algorithm>

#include "distributed/coordination/member_table.h"
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
constexpr int64_t kMostSteps = int64_t{1} << 40;
constexpr int kRememberedTasks = 4096;  // besides those of the generation
// Joins of larger groups are told in so many lines.
constexpr int kJoinLines = 16;

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
  if (request.progress > kMostSteps) return "its progress is more than any training makes";
  return "";
}

std::string field_difference(const std::string& who, const std::string& field,
                             const std::string& theirs, const std::string& ours) {
  const auto [found, expected] = show_difference(theirs, ours);
  return str_cat(who, " has ", field, " ", found, ", the job has ", expected,
                 ": all tasks must run the same program and job file on the same data");
}

}  // namespace

MemberTable::Ticket MemberTable::join(JoinRequest request, uint64_t task, Time now) {
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
  request.handshake.clear();  // it is the job's
  const auto entry = claims_.emplace(ticket, Claim{{std::move(request), task, home}, now}).first;
  // Nobody has had the time to show that a place is taken: the next tick looks.
  std::string why;
  if (check_claim(entry->second, now, nullptr, &why) == Claimed::kFree) {
    Waiting waiting = std::move(entry->second.waiting);
    claims_.erase(entry);
    accept(ticket, std::move(waiting), now);
  }
  admit(now);
  form_if_complete(now);
  return ticket;
}

void MemberTable::answer_all(const Error& error) {
  for (const auto& [ticket, claim] : claims_) answers_.insert_or_assign(ticket, error);
  for (const auto& [ticket, waiting] : waiting_) answers_.insert_or_assign(ticket, error);
  claims_.clear();
  stop_all_waiting();
  note_waiting();
}

void MemberTable::fail(const Error& error) {
  // A generation that runs does not need who tells this, for none of its members does.
  if (failed_ || running_) return;
  failed_ = error;
  log_.push_back(str_cat("the job has failed: ", error.what()));
  answer_all(error);
}

void MemberTable::settle_claims(Time now) {
  std::vector<Time> proofs;  // the same for all claims
  for (auto entry = claims_.begin(); entry != claims_.end();) {
    auto& [ticket, claim] = *entry;
    std::string why;
    const Claimed state = check_claim(claim, now, &proofs, &why);
    if (state == Claimed::kUndecided) {
      ++entry;
      continue;
    }
    if (state == Claimed::kFree) {
      accept(ticket, std::move(claim.waiting), now);
    } else {
      log_.push_back("refused: " + why);
      answers_.emplace(ticket, Error(ErrorCode::kInvalidArgument, why));
    }
    entry = claims_.erase(entry);
  }
}

// Whether the place that a task wants is free. A process may be started again before it is known
// here that it died, so a place is taken only when its holder gives a sign of life after the claim.
// `proofs`: see check_any_claim().
MemberTable::Claimed MemberTable::check_claim(const Claim& claim, Time now,
                                              std::vector<Time>* proofs, std::string* why) const {
  const auto& [request, task, home] = claim.waiting;
  if (home < 0) {
    const Claimed state = check_any_claim(claim, now, proofs);
    if (state == Claimed::kTaken) {
      *why = str_cat(describe(request, home), " is one too many: all ", options_.world_size,
                     " workers are there");
    }
    return state;
  }
  bool proven = false;
  std::string holder;
  if (const Member* member = member_at(home);
      member != nullptr && member->alive() && member->task != task) {
    proven = detector_.heard(member->peer.rank) > claim.at;
    holder = str_cat("rank ", home, " (host ", member->peer.host, ", pid ", member->peer.pid, ")");
  }
  if (const auto found = waiting_homes_.find(home); found != waiting_homes_.end()) {
    const Waiting& waiting = waiting_.at(found->second);
    const Member* member = member_of(waiting.task);
    if (waiting.task != task && (member == nullptr || !member->alive())) {
      proven = now - claim.at >= kClaimDelay;
      holder = describe(waiting.request, home);
    }
  }
  if (holder.empty()) return Claimed::kFree;
  if (!proven && now - claim.at < options_.join_timeout) return Claimed::kUndecided;
  *why = str_cat(describe(request, home), " cannot join: rank ", home, " is taken by ", holder,
                 ": two tasks were started as rank ", home);
  return Claimed::kTaken;
}

// The same for a task that takes any place. `proofs`: when each holder of a place was heard of, in
// order; filled in when it is needed and empty. Null: do not look.
MemberTable::Claimed MemberTable::check_any_claim(const Claim& claim, Time now,
                                                  std::vector<Time>* proofs) const {
  const int places = options_.world_size;
  int holders = alive_ + static_cast<int>(waiting_.size()) - alive_back_;
  const auto mine = waiting_tasks_.find(claim.waiting.task);
  const Member* member = member_of(claim.waiting.task);
  const bool counted = mine != waiting_tasks_.end() || (member != nullptr && member->alive());
  holders -= counted ? 1 : 0;
  if (holders < places) return Claimed::kFree;
  if (proofs == nullptr) return Claimed::kUndecided;
  if (proofs->empty()) *proofs = proofs_of_life(now);
  const auto proven = proofs->end() - std::upper_bound(proofs->begin(), proofs->end(), claim.at);
  return proven < places && now - claim.at < options_.join_timeout ? Claimed::kUndecided
                                                                   : Claimed::kTaken;
}

std::vector<MemberTable::Time> MemberTable::proofs_of_life(Time now) const {
  std::vector<Time> proofs;
  for (const auto& member : members_) {
    if (member.alive()) proofs.push_back(detector_.heard(member.peer.rank));
  }
  const auto others = waiting_.size() - static_cast<size_t>(alive_back_);
  proofs.insert(proofs.end(), others, now - kClaimDelay + std::chrono::nanoseconds(1));
  std::sort(proofs.begin(), proofs.end());
  return proofs;
}

void MemberTable::start_waiting(Ticket ticket, Waiting waiting) {
  waiting_tasks_[waiting.task] = ticket;
  if (waiting.home >= 0) waiting_homes_[waiting.home] = ticket;
  if (const auto found = ranks_.find(waiting.task); found != ranks_.end()) {
    Member& member = members_[static_cast<size_t>(found->second)];
    member.back = true;
    ++back_;
    alive_back_ += member.alive() ? 1 : 0;
  }
  waiting_.emplace(ticket, std::move(waiting));
}

void MemberTable::stop_waiting(Ticket ticket) {
  const auto entry = waiting_.find(ticket);
  if (entry == waiting_.end()) return;
  const Waiting& waiting = entry->second;
  waiting_tasks_.erase(waiting.task);
  if (const auto home = waiting_homes_.find(waiting.home);
      home != waiting_homes_.end() && home->second == ticket) {
    waiting_homes_.erase(home);
  }
  if (const auto found = ranks_.find(waiting.task); found != ranks_.end()) {
    Member& member = members_[static_cast<size_t>(found->second)];
    member.back = false;
    --back_;
    alive_back_ -= member.alive() ? 1 : 0;
  }
  waiting_.erase(entry);
}

void MemberTable::stop_all_waiting() {
  waiting_.clear();
  waiting_tasks_.clear();
  waiting_homes_.clear();
  for (auto& member : members_) member.back = false;
  back_ = alive_back_ = 0;
}

void MemberTable::accept(Ticket ticket, Waiting waiting, Time now) {
  // A member that joins again has given up its generation, whatever the others still think of it.
  if (const Member* member = member_of(waiting.task);
      running_ && member != nullptr && member->alive()) {
    end({ErrorCode::kUnavailable,
         str_cat(member->peer.to_string(), " has given up generation ", generation_, " ",
                 detector_.where(member->peer.rank), " and joins again",
                 waiting.request.gave_up.empty() ? "" : ": ", waiting.request.gave_up)},
        now);
  }
  if (const auto same = waiting_tasks_.find(waiting.task); same != waiting_tasks_.end()) {
    stop_waiting(same->second);
  }
  if (waiting_.empty()) waiting_since_ = now;
  const std::string who = describe(waiting.request, waiting.home);
  start_waiting(ticket, std::move(waiting));
  const int count = static_cast<int>(waiting_.size()), all = options_.world_size;
  const int each = std::max(1, all / kJoinLines);  // a group of thousands fills no log
  if (count <= kJoinLines || count % each == 0 || count >= all) {
    log_.push_back(str_cat(who, " has joined: ", count, " of ", all));
  }
}

std::optional<MemberTable::Answer> MemberTable::take_answer(Ticket ticket) {
  const auto found = answers_.find(ticket);
  if (found == answers_.end()) return std::nullopt;
  Answer answer = std::move(found->second);
  answers_.erase(found);
  return answer;
}

void MemberTable::withdraw(Ticket ticket) {
  answers_.erase(ticket);
  claims_.erase(ticket);
  stop_waiting(ticket);
  note_waiting();
}

void MemberTable::note_waiting() {
  if (!waiting_.empty()) return;
  waiting_since_.reset();
  if (generation_ == 0 && claims_.empty()) handshake_.reset();  // nobody is left who set it
}

std::optional<std::string> MemberTable::refusal(const JoinRequest& request, uint64_t task,
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
  if (handshake_ && !request.same_handshake) {
    if (std::string why = handshake_difference(who, request); !why.empty()) return why;
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

// Empty: there is none.
std::string MemberTable::handshake_difference(const std::string& who,
                                              const JoinRequest& request) const {
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
  return "";
}

// Lets those in who wait beside a smaller generation, when with them it can go on.
void MemberTable::admit(Time now) {
  if (!running_ || waiting_.empty() || now - formed_ < kAdmissionInterval) return;
  const int needed =
      options_.min_workers > 0 && members() > 0 ? options_.min_workers : options_.world_size;
  if (members() + static_cast<int>(waiting_.size()) < needed) return;
  auto next = waiting_.begin();
  const std::string names = name_some(waiting_.size(), [&](size_t) {
    const Waiting& waiting = (next++)->second;
    return describe(waiting.request, waiting.home);
  });
  end({ErrorCode::kCancelled,
       str_cat(waiting_.size() == 1 ? "a worker joins: " : "workers join: ", names)},
      now);
}

// Where generations end one after another without a step, the next ones come later, and then none.
bool MemberTable::may_form(Time now) {
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
    stop_all_waiting();
    note_waiting();
    fruitless_ = 0;  // those that a launcher starts again try anew
    return false;
  }
  const auto pause = kFirstPause * (1 << (fruitless_ - kFruitlessAtOnce - 1));
  return now - ended_ >= std::min<milliseconds>(pause, kLongestPause);
}

void MemberTable::form_if_complete(Time now) {
  if (running_ || waiting_.empty() || !may_form(now)) return;
  const int count = static_cast<int>(waiting_.size());
  if (count >= options_.world_size) {
    form(now);
  } else if (generation_ > 0 && options_.min_workers > 0 && count >= options_.min_workers) {
    // Somebody must have the state, and who lives is waited for.
    const bool everyone_is_back = alive_back_ == alive_;
    if (back_ > 0 && (everyone_is_back || now - ended_ >= kSurvivorGrace)) form(now);
  }
}

void MemberTable::give_homes() {
  int free = 0;
  for (auto& [ticket, waiting] : waiting_) {
    if (waiting.home >= 0) continue;
    while (waiting_homes_.contains(free)) ++free;
    waiting.home = free;
    waiting_homes_[free] = ticket;
  }
}

void MemberTable::form(Time now) {
  give_homes();
  std::vector<std::pair<Ticket, Waiting>> order;
  order.reserve(waiting_.size());
  for (auto& [ticket, waiting] : waiting_) order.emplace_back(ticket, std::move(waiting));
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second.home < b.second.home; });
  stop_all_waiting();
  waiting_since_.reset();
  members_.clear();
  ranks_.clear();
  ++generation_;

  Place place{.generation = generation_};
  for (const auto& [ticket, waiting] : order) {
    const auto& request = waiting.request;
    const int rank = size();
    members_.push_back({.peer = {.rank = rank,
                                 .host = request.host,
                                 .host_id = request.host_id,
                                 .pid = request.pid,
                                 .address = request.address},
                        .home = waiting.home,
                        .task = waiting.task,
                        .incarnation = request.incarnation});
    ranks_[waiting.task] = rank;
    homes_[waiting.task] = waiting.home;
    incarnations_[waiting.home] = std::max(incarnations_[waiting.home], request.incarnation);
    if (rank == 0 || request.progress > place.progress) {
      place.state_source = rank;
      place.progress = request.progress;
    }
  }
  alive_ = size();
  if (place.progress > progress_) fruitless_ = 0;
  progress_ = place.progress;
  for (const auto& [ticket, waiting] : order) {
    answers_.emplace(ticket, place);
    ++place.rank;
  }
  forget_tasks();
  running_ = true;
  formed_ = now;
  detector_.reset(peers(), now);
  log_.push_back(
      str_cat("generation ", generation_, " begins at step ", progress_, ": ",
              name_some(members_.size(), [&](size_t i) { return members_[i].peer.to_string(); })));
}

// Tasks that were members once, and will not come back.
void MemberTable::forget_tasks() {
  if (homes_.size() <= members_.size() + size_t{kRememberedTasks}) return;
  std::erase_if(homes_, [&](const auto& entry) { return !ranks_.contains(entry.first); });
}

std::vector<int> MemberTable::missing_homes() const {
  std::vector<bool> there(static_cast<size_t>(options_.world_size), false);
  for (const auto& [ticket, waiting] : waiting_) {
    if (waiting.home >= 0) there[static_cast<size_t>(waiting.home)] = true;
  }
  for (const auto& member : members_) {
    if (running_ && member.alive()) there[static_cast<size_t>(member.home)] = true;
  }
  auto free = there.begin();
  for (const auto& [ticket, waiting] : waiting_) {  // any rank: the lowest that is free
    free = std::find(free, there.end(), false);
    if (waiting.home < 0 && free != there.end()) *free = true;
  }
  std::vector<int> missing;
  for (int rank = 0; rank < options_.world_size; ++rank) {
    if (!there[static_cast<size_t>(rank)]) missing.push_back(rank);
  }
  return missing;
}

void MemberTable::expire_joins(Time now) {
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
  stop_all_waiting();
  note_waiting();
}

}  // namespace trireme
