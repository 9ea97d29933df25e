// The waits of a worker that was told to stop.
#include <set>
#include <utility>

#include "ps/client/sending.h"

namespace trireme::ps {

void RetryingSender::stop_waiting() {
  if (!stop_) return;
  const StopState stop = stop_();
  if (stop.signal == 0) return;
  std::set<int> awaited;  // servers
  {
    MutexLock lock(mutex_);
    for (const auto& sending : active_) {
      if (const int primary = primary_of(*sending); primary >= 0) awaited.insert(primary);
    }
  }
  for (const int server : awaited) links_.probe(server, StopWatch::kLongest);
  const auto now = Clock::now();
  std::vector<std::pair<std::shared_ptr<Sending>, Error>> ended;
  {
    MutexLock lock(mutex_);
    for (const auto& sending : active_) {
      const std::string why = why_in_vain(*sending, stop, now);
      if (why.empty()) continue;
      ended.emplace_back(sending, StopWatch::error(stop, whereabouts(*sending), why));
    }
  }
  for (auto& [sending, error] : ended) finish(sending, {}, std::make_unique<Error>(error));
}

// Empty: it is not.
std::string RetryingSender::why_in_vain(const Sending& sending, const StopState& stop,
                                        Clock::time_point now) const {
  if (stop.told >= StopWatch::kLongest) return StopWatch::why_in_vain(stop);
  if (sending.request.waits_for_workers) {
    if (const std::string why = StopWatch::why_in_vain(stop); !why.empty()) return why;
  }
  if (stop.told < StopWatch::kSilence) return "";
  const int primary = primary_of(sending);
  if (primary < 0) return "its server is gone";
  if (!links_.is_ready(sending.request.slot)) return "its server cannot be reached";
  const auto silent_since = links_.silent_since(primary);
  const bool silent = silent_since && now - *silent_since >= StopWatch::kSilence;
  return silent ? "its server does not answer" : "";
}

}  // namespace trireme::ps
