// Barriers and keys: who waits for them, and what ends the waits.
#include <algorithm>

#include "distributed/coordination/coordinator_state.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr size_t kNameLimit = 128;
constexpr size_t kWaits = 100'000;
constexpr milliseconds kLongestWait = std::chrono::hours(24 * 365);

}  // namespace

CoordinatorState::WaitId CoordinatorState::add_wait(Wait wait) {
  if (waits_.size() >= kWaits) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat(waits_.size(), " calls wait for barriers and keys, no more can"));
  }
  const WaitId id = ++last_wait_;
  wait.deadline = Clock::now() + std::clamp(wait.timeout, milliseconds(0), kLongestWait);
  (wait.generation != 0 ? barriers_ : keys_)[wait.name].insert(id);
  deadlines_.emplace(wait.deadline, id);
  if (deadlines_.begin()->second == id) ticker_.notify_all();
  waits_.emplace(id, std::move(wait));
  return id;
}

CoordinatorState::Wait CoordinatorState::take_wait(Waits::iterator entry) {
  const WaitId id = entry->first;
  Wait wait = std::move(entry->second);
  waits_.erase(entry);
  deadlines_.erase({wait.deadline, id});
  auto& by_name = wait.generation != 0 ? barriers_ : keys_;
  const auto named = by_name.find(wait.name);
  named->second.erase(id);
  if (named->second.empty()) by_name.erase(named);
  return wait;
}

CoordinatorState::WaitId CoordinatorState::barrier(int64_t generation, int rank,
                                                   const std::string& name, milliseconds timeout,
                                                   Done done) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  Wait wait{.generation = generation,
            .rank = rank,
            .name = name,
            .timeout = timeout,
            .got = [done = std::move(done)](std::optional<Error> error, const std::string&) {
              done(std::move(error));
            }};
  if (stopping_) return deliveries.add(std::move(wait), stopping()), 0;
  if (auto cause = member_table_.ended(generation)) {
    return deliveries.add(std::move(wait), *std::move(cause)), 0;
  }
  try {
    wait.round = job_store_.arrive(name, rank);
    const WaitId id = add_wait(wait);
    if (!job_store_.complete(name, wait.round)) return id;
  } catch (const Error& error) {
    if (wait.round > 0) job_store_.withdraw(name, rank);
    return deliveries.add(std::move(wait), error), 0;
  }
  const std::set<WaitId> waiting = barriers_[name];
  for (const WaitId id : waiting) {
    const auto entry = waits_.find(id);
    if (job_store_.complete(name, entry->second.round)) {
      deliveries.add(take_wait(entry), std::nullopt);
    }
  }
  return 0;
}

// Who waits when the generation ends waits for ranks that will not come.
void CoordinatorState::end_barriers(Deliveries& deliveries) {
  while (!barriers_.empty()) {
    Wait wait = take_wait(waits_.find(*barriers_.begin()->second.begin()));
    auto cause = member_table_.ended(wait.generation);
    deliveries.add(std::move(wait), cause ? std::move(cause) : stopping());
  }
}

void CoordinatorState::put(const std::string& key, std::string value) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  job_store_.put(key, value);
  const auto waiting = keys_.find(key);
  if (waiting == keys_.end()) return;
  const std::set<WaitId> ids = waiting->second;
  for (const WaitId id : ids) deliveries.add(take_wait(waits_.find(id)), std::nullopt, value);
}

CoordinatorState::WaitId CoordinatorState::get(const std::string& key, milliseconds timeout,
                                               Got got) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  Wait wait{.name = key, .timeout = timeout, .got = std::move(got)};
  if (stopping_) return deliveries.add(std::move(wait), stopping()), 0;
  if (auto value = job_store_.get(key)) {
    return deliveries.add(std::move(wait), std::nullopt, *std::move(value)), 0;
  }
  try {
    return add_wait(wait);
  } catch (const Error& error) {
    return deliveries.add(std::move(wait), error), 0;
  }
}

Error CoordinatorState::late(const Wait& wait) const {
  const std::string name = clean(wait.name, kNameLimit);
  if (wait.generation == 0) {
    return {ErrorCode::kDeadlineExceeded,
            str_cat("nobody has put the key \"", name, "\" within ", seconds_text(wait.timeout))};
  }
  const auto missing = job_store_.missing(wait.name, wait.round);
  return {ErrorCode::kDeadlineExceeded,
          str_cat(name_ranks(missing), missing.size() == 1 ? " has" : " have",
                  " not come to the barrier \"", name, "\" within ", seconds_text(wait.timeout))};
}

void CoordinatorState::expire_waits(Deliveries& deliveries, Clock::time_point now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Wait wait = take_wait(waits_.find(deadlines_.begin()->second));
    const Error error = late(wait);
    if (wait.generation != 0) job_store_.withdraw(wait.name, wait.rank);
    deliveries.add(std::move(wait), error);
  }
}

void CoordinatorState::give_up(WaitId id) {
  Deliveries deliveries;
  MutexLock lock(mutex_);
  const auto entry = waits_.find(id);
  if (entry == waits_.end()) return;
  Wait wait = take_wait(entry);
  if (wait.generation != 0) job_store_.withdraw(wait.name, wait.rank);
  deliveries.add(std::move(wait), Error(ErrorCode::kCancelled, "the task has gone"));
}

}  // namespace trireme
