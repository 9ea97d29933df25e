// An Attendance: a member's open stream to the coordinator for one generation.
//
// Two threads, "beat" and "orders". Methods may be called from any thread, the destructor not from
// on_fault. Destroying it ends the stream; unless leave() came before, the coordinator takes the
// member for lost, if its generation still runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"

namespace grpc {
class Channel;
}

namespace trireme {

class CollectiveWatch;

struct AttendanceOptions {
  std::string address;  // of the coordinator
  int64_t generation = 0;
  int rank = 0;
  std::chrono::milliseconds heartbeat_interval{200};
  std::chrono::milliseconds silence_timeout{60'000};  // of the coordinator
  std::function<int()> stop_signal;                   // see ClientOptions
};

class Attendance {
 public:
  Attendance(const std::shared_ptr<grpc::Channel>& channel, AttendanceOptions options);
  ~Attendance();
  Attendance(const Attendance&) = delete;

  // Waits until the coordinator has answered: from then on it hears at once when this process dies.
  void wait_for_answer(std::chrono::milliseconds timeout) EXCLUDES(mutex_);
  // From now on beats carry the state of `watch`. `on_fault` is called once, from the thread
  // "orders", also when the generation had ended before this call.
  void set(std::shared_ptr<const CollectiveWatch> watch, std::function<void(const Error&)> on_fault)
      EXCLUDES(mutex_);
  void report(const Error& error) EXCLUDES(mutex_);
  // Says goodbye and waits, for a moment only, until the coordinator has heard it.
  void leave() EXCLUDES(mutex_);

  int64_t generation() const { return options_.generation; }
  int rank() const { return options_.rank; }

 private:
  class Stream;
  using Clock = std::chrono::steady_clock;

  void beat();         // thread
  void read_orders();  // thread
  bool send_beat() EXCLUDES(mutex_);
  void deliver(const Error& fault) EXCLUDES(mutex_);

  const AttendanceOptions options_;
  const std::unique_ptr<Stream> stream_;
  Mutex mutex_;
  ConditionVariable changed_;
  std::shared_ptr<const CollectiveWatch> watch_ GUARDED_BY(mutex_);
  std::function<void(const Error&)> on_fault_ GUARDED_BY(mutex_);
  bool attending_ GUARDED_BY(mutex_) = false;  // set() was called
  std::optional<Error> report_ GUARDED_BY(mutex_);
  bool leaving_ GUARDED_BY(mutex_) = false;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool answered_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;   // nothing more can be read
  bool silent_ GUARDED_BY(mutex_) = false;  // the coordinator was, for too long
  // Beats since the coordinator was heard of. Time would not do: this process may have been
  // stopped.
  int64_t unanswered_ GUARDED_BY(mutex_) = 0;
  std::thread beating_, reading_;
};

}  // namespace trireme
