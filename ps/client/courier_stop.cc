// The waits of a worker that was told to stop.
#include <algorithm>
#include <utility>

#include "ps/client/courier_state.h"

namespace trireme::ps {

void Courier::stop_waiting() {
  if (!options_.stop) return;
  const StopState stop = options_.stop();
  if (stop.signal == 0) return;
  const auto now = Clock::now();
  std::vector<std::pair<std::shared_ptr<Sending>, Error>> ended;
  std::vector<std::function<void()>> calls;
  {
    MutexLock lock(mutex_);
    for (const auto& link : links_) {
      const bool is_awaited =
          std::ranges::any_of(active_, [&](const auto& sending) REQUIRES(mutex_) {
            return view_.slots[static_cast<size_t>(sending->parcel.slot)].primary == link->server;
          });
      if (is_awaited) probe(*link, now, calls);
    }
    for (const auto& sending : active_) {
      const std::string why = why_in_vain(*sending, stop, now);
      if (!why.empty())
        ended.emplace_back(sending, StopWatch::error(stop, whereabouts(*sending), why));
    }
  }
  for (const auto& call : calls) call();
  for (auto& [sending, error] : ended) finish(sending, {}, std::make_unique<Error>(error));
}

// A request may wait for others for good reason, and a stopped process keeps its connections: so
// the server is asked what it answers at once.
void Courier::probe(Link& link, Clock::time_point now, std::vector<std::function<void()>>& calls) {
  if (link.probed) return;
  const auto slot = std::ranges::find(view_.slots, link.server, &SlotEntry::primary);
  if (link.control == nullptr || link.broken || slot == view_.slots.end() || !options_.make_probe) {
    return;
  }
  link.probed = now;
  const auto index = static_cast<int>(slot - view_.slots.begin());
  const Destination destination{.view = view_.number, .epoch = slot->epoch};
  calls.push_back(
      [this, &link, control = link.control, number = link.connection, index, destination] {
        control->call(options_.make_probe(index, destination), StopWatch::kLongest,
                      [this, &link, number](const RpcResult& result) {
                        MutexLock lock(mutex_);
                        if (link.connection != number) return;
                        if (result.error == nullptr) link.probed.reset();
                      });
      });
}

// Empty: it is not.
std::string Courier::why_in_vain(const Sending& sending, const StopState& stop,
                                 Clock::time_point now) const {
  if (stop.told >= StopWatch::kLongest) return StopWatch::why_in_vain(stop);
  if (sending.parcel.waits_for_workers) {
    if (const std::string why = StopWatch::why_in_vain(stop); !why.empty()) return why;
  }
  if (stop.told < StopWatch::kSilence) return "";
  const int primary = view_.slots[static_cast<size_t>(sending.parcel.slot)].primary;
  if (primary < 0) return "its server is gone";
  const Link& link = *links_[static_cast<size_t>(primary)];
  if (ready_link(sending.parcel.slot) == nullptr) return "its server cannot be reached";
  const bool silent = link.probed && now - *link.probed >= StopWatch::kSilence;
  return silent ? "its server does not answer" : "";
}

}  // namespace trireme::ps
