#include "distributed/connection/refusal_log.h"

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr std::chrono::seconds kPeriod{10};
constexpr int kInFull = 5;        // lines of a period
constexpr size_t kMostHosts = 4;  // that a count names

}  // namespace

RefusalLog::RefusalLog(std::string port, std::function<void(const std::string&)> log)
    : port_(std::move(port)), log_(std::move(log)) {}

RefusalLog::~RefusalLog() { tell_counts(); }

void RefusalLog::add(const std::string& kind, const std::string& why, const std::string& host,
                     const std::string& peer) {
  const auto now = Clock::now();
  if (now >= period_begin_ + kPeriod) {
    tell_counts();
    period_begin_ = now;
    told_ = 0;
  }
  if (told_ < kInFull) {
    ++told_;
    log_(str_cat("refused a connection from ", peer, " to ", port_, ": ", why));
    return;
  }
  Count& count = counts_[kind];
  ++count.peers;
  if (count.hosts.contains(host) || count.hosts.size() < kMostHosts) ++count.hosts[host];
}

RefusalLog::Clock::time_point RefusalLog::tell(Clock::time_point now) {
  if (counts_.empty()) return Clock::time_point::max();
  if (now < period_begin_ + kPeriod) return period_begin_ + kPeriod;
  tell_counts();
  return Clock::time_point::max();
}

void RefusalLog::tell_counts() {
  for (const auto& [kind, count] : counts_) {
    std::string from;
    uint64_t named = 0;
    for (const auto& [host, peers] : count.hosts) {
      from += str_cat(from.empty() ? "" : ", ", peers, " from ", host);
      named += peers;
    }
    if (named < count.peers) from += str_cat(", ", count.peers - named, " from others");
    log_(str_cat("refused ", count.peers, " more connections to ", port_, " (", from, "): ", kind));
  }
  counts_.clear();
}

}  // namespace trireme
