#include "launcher/sweep/runner.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <iomanip>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "launcher/supervisor/ending_signals.h"
#include "launcher/supervisor/task_environment.h"

namespace trireme::sweep {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The signals of ending_signals(), to be read. Blocked before any thread is made that could take
// them.
class Signals {
 public:
  Signals() {
    sigset_t mask;
    sigemptyset(&mask);
    for (const int number : ending_signals()) sigaddset(&mask, number);
    pthread_sigmask(SIG_BLOCK, &mask, &before_);
    fd_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd_ < 0) throw failed("cannot wait for signals: ", std::strerror(errno));
  }
  ~Signals() {
    ::close(fd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;

  int descriptor() const { return fd_; }
  int take() const {  // 0: none
    signalfd_siginfo info{};
    return ::read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  int fd_ = -1;
  sigset_t before_{};
};

double cpu_seconds_of_children() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string short_number(double value) { return str_cat(std::setprecision(6), value); }

std::string duration(double seconds) {
  if (seconds < 90) return str_cat(static_cast<int64_t>(std::ceil(seconds)), " s");
  if (seconds < 5400) return str_cat(static_cast<int64_t>(std::ceil(seconds / 60)), " min");
  return str_cat(std::fixed, std::setprecision(1), seconds / 3600, " h");
}

class Runner {
 public:
  Runner(const TrialHost& host, Store& store, const RunnerOptions& options)
      : host_(host), store_(store), options_(options), guard_(options.jobs) {
    const std::vector<int> cores = usable_cores();
    for (int i = 0; i < options.jobs; ++i) {
      slots_.push_back({options.pin ? share_of_cores(cores, i, options.jobs) : std::vector<int>()});
    }
  }

  RunnerEnd run() {
    while (true) {
      if (end_.signal == 0) fill();
      if (std::ranges::none_of(slots_, [](const Slot& slot) { return slot.run != nullptr; })) break;
      wait();
      take_signals();
      take_ends();
      if (kill_at_ && Clock::now() >= *kill_at_) signal_all(SIGKILL);
    }
    end_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    end_.cpu_seconds = cpu_seconds_of_children() - cpu_before_;
    return end_;
  }

 private:
  struct Slot {
    std::vector<int> cpus;
    std::unique_ptr<TrialRun> run = nullptr;
  };

  void fill() {
    for (Slot& slot : slots_) {
      while (slot.run == nullptr) {
        const Decision decision = decide();
        if (decision.kind != Decision::kRun) return;
        start(slot, decision);
      }
    }
  }

  Decision decide() {
    Decision decision;
    store_.transaction([&] {
      do {
        while ((decision = next(host_.plan, store_.state())).kind == Decision::kPromote) {
          store_.record(
              {.kind = EventKind::kPromote, .trial = decision.trial, .target = decision.target});
          write_result(host_, store_.state(), decision.trial);
        }
        // Of several processes another may have died at what this one would wait for.
      } while (decision.kind == Decision::kWait && store_.take_over());
      if (decision.kind != Decision::kRun) return;
      store_.record({.kind = EventKind::kStart,
                     .trial = decision.trial,
                     .target = decision.target,
                     .runner = store_.runner()});
    });
    return decision;
  }

  void start(Slot& slot, const Decision& decision) {
    try {
      slot.run =
          std::make_unique<TrialRun>(host_, guard_, decision.trial, decision.target, slot.cpus);
    } catch (const Error& error) {
      // A setting of which no job can be made is the trial's failure; all else is the sweep's.
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      ended({.kind = EventKind::kFailed,
             .trial = decision.trial,
             .target = decision.target,
             .error = error.what()});
    }
  }

  void wait() const {
    std::vector<pollfd> fds = {{signals_.descriptor(), POLLIN, 0}};
    for (const Slot& slot : slots_) {
      if (slot.run != nullptr) fds.push_back({slot.run->descriptor(), POLLIN, 0});
    }
    int timeout = -1;
    if (kill_at_) {
      const auto left = std::chrono::ceil<milliseconds>(*kill_at_ - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
    }
    poll(fds.data(), fds.size(), timeout);
  }

  void take_signals() {
    while (const int number = signals_.take()) {
      if (end_.signal != 0) {
        options_.say("told again: killing the trials that run");
        signal_all(SIGKILL);
        continue;
      }
      end_.signal = number;
      options_.say(str_cat("SIG", sigabbrev_np(number),
                           ": asking the trials that run to save and "
                           "end; in ",
                           options_.grace.count() / 1000, " s they are killed",
                           number == SIGINT ? " (at once with another Ctrl-C)" : ""));
      signal_all(number);
      kill_at_ = Clock::now() + options_.grace;
    }
  }

  void signal_all(int number) {
    for (const Slot& slot : slots_) {
      if (slot.run == nullptr) continue;
      slot.run->signal(number);
      slot.run->signal(SIGCONT);
    }
    kill_at_.reset();
  }

  void take_ends() {
    for (Slot& slot : slots_) {
      if (slot.run == nullptr) continue;
      std::optional<Event> event = slot.run->poll_end(end_.signal != 0);
      if (!event) continue;
      slot.run.reset();
      ended(std::move(*event));
    }
  }

  void ended(Event event) {
    store_.transaction([&] {
      if (event.kind == EventKind::kKilled &&
          store_.state().trial(event.trial).kills >= options_.retries) {
        event.kind = EventKind::kFailed;
        if (options_.retries > 0) {
          event.error += str_cat(", at the last of ", options_.retries + 1, " tries");
        }
      }
      store_.record(event);
    });
    write_result(host_, store_.state(), event.trial);
    tell(event);
  }

  void tell(const Event& event) {
    const SweepState& state = store_.state();
    std::string what;
    switch (event.kind) {
      case EventKind::kResult:
        what = str_cat(host_.plan.metric, " ", short_number(*state.last_value(event.trial)),
                       " after ", event.result.epochs, " epochs");
        break;
      case EventKind::kKilled:
        what = str_cat(event.error, "; it will go on");
        break;
      case EventKind::kInterrupted:
        what = "saved";
        break;
      default:
        what = str_cat("failed: ", event.error);
    }
    seconds_ += event.seconds;
    ++ended_;
    options_.say(str_cat(trial_name(event.trial), ": ", what, " (", progress(), ")"));
  }

  std::string progress() const {
    const SweepState& state = store_.state();
    const auto trials = static_cast<int64_t>(state.trials().size());
    const int64_t paused = state.count(TrialStatus::kPaused),
                  failed = state.count(TrialStatus::kFailed);
    const int64_t done = state.count(TrialStatus::kDone);
    std::string text = str_cat(done, " of ", trials, " done",
                               paused > 0 ? str_cat(", ", paused, " stopped early") : "", ", ",
                               state.count(TrialStatus::kRunning), " running",
                               failed > 0 ? str_cat(", ", failed, " failed") : "");
    if (const auto best = state.best()) {
      text +=
          str_cat("; best ", trial_name(*best), " with ", short_number(*state.last_value(*best)));
    }
    // How long what is left takes, where it is known how much that is.
    const int64_t left = trials - done - failed;
    if (host_.plan.search != Search::kAsha && left > 0 && ended_ > 0) {
      const double each = seconds_ / static_cast<double>(ended_);
      text +=
          str_cat("; about ", duration(each * static_cast<double>(left) / options_.jobs), " left");
    }
    return text;
  }

  const TrialHost& host_;
  Store& store_;
  const RunnerOptions& options_;
  const Signals signals_;
  const ProcessGuard guard_;
  std::vector<Slot> slots_;  // destroyed before the guard
  const Clock::time_point begin_ = Clock::now();
  const double cpu_before_ = cpu_seconds_of_children();
  std::optional<Clock::time_point> kill_at_;
  RunnerEnd end_;
  double seconds_ = 0;  // of the trials that ended here
  int64_t ended_ = 0;
};

}  // namespace

RunnerEnd run_trials(const TrialHost& host, Store& store, const RunnerOptions& options) {
  return Runner(host, store, options).run();
}

}  // namespace trireme::sweep
