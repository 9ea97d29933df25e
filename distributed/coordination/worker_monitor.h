// The WorkerMonitor: which worker of a job with parameter servers hangs.
//
// Such workers meet at the servers, which know neither who lives nor who still computes. So each
// says with its beats what it does: whether it waits, for servers or for other workers, and how far
// it is. One that has not beaten for long hangs; so does one that neither waits nor gets on while
// another waits for long. Has no clock, thread or network of its own. Not thread-safe: whoever owns
// it holds a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "distributed/coordination/launchers.h"

namespace trireme {

// What a worker does, as it says itself.
struct WorkerState {
  int64_t progress = 0;                  // grows with all that it does
  std::chrono::milliseconds waiting{0};  // for so long by now; 0: it does not wait
};

class WorkerMonitor {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Limits {
    std::chrono::milliseconds silent{60'000};  // hangs when it has not beaten for so long
    std::chrono::milliseconds stuck{60'000};   // hangs when it stays where it is for so long
  };

  // `replace`: see Launchers::replace(); null: nobody can.
  explicit WorkerMonitor(std::function<bool(const HungTask&)> replace)
      : replace_(std::move(replace)) {}

  // `patience`: it gives the job up when it has waited for so long; what hangs is replaced before.
  void attend(int worker, uint64_t incarnation, std::chrono::milliseconds patience, Time now);
  void beat(int worker, uint64_t incarnation, const WorkerState& state, Time now);
  void detach(int worker, uint64_t incarnation);
  // What time brings. To be called some times a second.
  void tick(Time now, Limits limits);
  // The others have been waiting for it at `what` since then: it hangs when it has stood still for
  // as long, even where it says that it waits.
  void awaited(int worker, const std::string& what, Time since, Time now, Limits limits);
  // What was not heard until now waits to be read.
  void excuse(Time now);

  std::vector<std::string> take_log() { return std::exchange(log_, {}); }

 private:
  struct Worker {
    uint64_t incarnation = 0;
    WorkerState state;
    Time heard{}, progressed{};  // when `state.progress` changed
    Time advanced{};             // the same, and as long as it waits
    bool replaced = false;
  };

  Limits within_patience(Limits limits) const;
  void replace(int index, Worker& worker, const std::string& why);

  const std::function<bool(const HungTask&)> replace_;
  std::chrono::milliseconds patience_ = std::chrono::milliseconds::max();
  std::map<int, Worker> workers_;
  std::vector<std::string> log_;
};

}  // namespace trireme
