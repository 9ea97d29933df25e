#include "worker/time_account.h"

namespace trireme {

TimeAccount::Use TimeAccount::use() const {
  const bool waits = now_ == Activity::kWaiting;
  if (waits && collectives_ > 0) return Use::kCollectives;
  if (waits && server_calls_ > 0) return Use::kParameterServers;
  switch (waits ? before_ : now_) {
    case Activity::kData:
      return Use::kData;
    case Activity::kStep:
      return Use::kCompute;
    case Activity::kValidation:
      return Use::kValidation;
    case Activity::kCheckpoint:
      return Use::kCheckpoints;
    case Activity::kCollective:
      return Use::kCollectives;
    case Activity::kServers:
      return Use::kParameterServers;
    case Activity::kOther:
    case Activity::kWaiting:
      break;
  }
  return Use::kOther;
}

void TimeAccount::change(bool helps, Activity from, Activity to) noexcept {
  MutexLock lock(mutex_);
  const auto now = Clock::now();
  spent_[static_cast<size_t>(use())] += now - since_;
  since_ = now;
  if (helps) {
    collectives_ += (to == Activity::kCollective ? 1 : 0) - (from == Activity::kCollective ? 1 : 0);
    server_calls_ += (to == Activity::kServers ? 1 : 0) - (from == Activity::kServers ? 1 : 0);
    return;
  }
  if (to == Activity::kWaiting) before_ = from;
  now_ = to;
}

std::array<double, TimeAccount::kNames.size()> TimeAccount::seconds() const {
  MutexLock lock(mutex_);
  std::array<double, kNames.size()> seconds{};
  for (size_t i = 0; i < seconds.size(); ++i) {
    auto spent = spent_[i];
    if (i == static_cast<size_t>(use())) spent += Clock::now() - since_;
    seconds[i] = std::chrono::duration<double>(spent).count();
  }
  return seconds;
}

}  // namespace trireme
