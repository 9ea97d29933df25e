// Lines about peers that were refused, however many there are: some in full, then counts.
//
// Not thread-safe: it belongs to the thread that accepts.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace trireme {

class RefusalLog {
 public:
  using Clock = std::chrono::steady_clock;

  // `port`: what they came to, for the lines.
  RefusalLog(std::string port, std::function<void(const std::string&)> log);
  ~RefusalLog();  // tells what was only counted

  // `kind`: what was wrong, in few words, of a fixed set; `why`: the whole sentence; `host`,
  // `peer`: from where, without and with its port.
  void add(const std::string& kind, const std::string& why, const std::string& host,
           const std::string& peer);
  // Tells what was only counted, when it is time. Clock::time_point::max(): nothing waits.
  Clock::time_point tell(Clock::time_point now);

 private:
  struct Count {
    uint64_t peers = 0;
    std::map<std::string, uint64_t> hosts;  // the first few
  };
  void tell_counts();

  const std::string port_;
  const std::function<void(const std::string&)> log_;
  int told_ = 0;  // in full, since period_begin_
  Clock::time_point period_begin_;
  std::map<std::string, Count> counts_;  // by kind
};

}  // namespace trireme
