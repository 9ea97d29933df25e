#include "launcher/supervisor/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <iomanip>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "launcher/supervisor/ending_signals.h"
#include "launcher/supervisor/task_log.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kShownLines = 15;
constexpr int kHungCode = 75;  // another try may succeed
// Between a task's end and its restart: doubles while it keeps ending soon after its start.
constexpr milliseconds kFirstBackoff{100}, kLongestBackoff{2'000}, kSoon{10'000};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string to_string(double seconds) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << seconds << " s";
  return text.str();
}

std::string count(int64_t n, const std::string& what) {
  return str_cat(n, " ", what, n == 1 ? "" : "s");
}

std::string date() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return str_cat(std::put_time(&local, "%F %T"));
}

enum class State { kWaiting, kRunning, kDone, kFailed, kLost };

// A task and its present process.
struct Task {
  const SupervisedTask& plan;
  TaskLog log;
  State state = State::kWaiting;  // to be started at `due`
  Clock::time_point due{}, started{};
  int restarts = 0;
  milliseconds backoff = kFirstBackoff;
  pid_t pid = 0;
  std::string hung;  // why this start of it was killed; empty: it was not
  std::unique_ptr<TaskProcess> process;

  explicit Task(const SupervisedTask& task) : plan(task), log(task.log_path, task.shown) {}
  bool active() const { return state == State::kWaiting || state == State::kRunning; }
};

// One job, from its start to its end.
class Run {
 public:
  Run(const SupervisorOptions& options, int signals, SupervisorRequests& requests,
      const std::vector<SupervisedTask>& tasks)
      : options_(options),
        signals_(signals),
        requests_(requests),
        guard_(static_cast<int>(tasks.size())) {
    for (const SupervisedTask& task : tasks) tasks_.push_back(std::make_unique<Task>(task));
  }

  JobEnd to_its_end() {
    while (std::ranges::any_of(tasks_, [](const auto& task) { return task->active(); })) {
      start_those_due();
      wait();
      take_signals();
      take_requests();
      take_ends();
      if ((!stopping_ || servers_wait_) && !working()) stop(SIGTERM);  // only servers are left
      if (kill_at_ && Clock::now() >= *kill_at_) kill_all();
    }
    summarize();
    return end_;
  }

 private:
  void report(const std::string& line) const { options_.report(line); }

  bool working() const {
    return std::ranges::any_of(
        tasks_, [](const auto& task) { return task->active() && !task->plan.serves; });
  }

  void start_those_due() {
    for (const auto& task : tasks_) {
      if (task->state == State::kWaiting && Clock::now() >= task->due) start(*task);
    }
  }

  void start(Task& task) {
    TaskCommand command = task.plan.command;
    command.environment["TRIREME_INCARNATION"] = std::to_string(task.restarts);
    task.log.begin(task.restarts == 0
                       ? str_cat("--- ", task.plan.name, " started, ", date())
                       : str_cat("--- ", task.plan.name, " started again (restart ", task.restarts,
                                 " of ", options_.max_restarts, "), ", date()));
    task.process =
        std::make_unique<TaskProcess>(command, task.log.output(), task.log.error(), guard_);
    task.log.started();
    task.pid = task.process->pid();
    task.started = Clock::now();
    task.hung.clear();
    task.state = State::kRunning;
  }

  // Until something happens or is due.
  void wait() const {
    std::vector<pollfd> fds = {{signals_, POLLIN, 0}, {requests_.descriptor(), POLLIN, 0}};
    std::optional<Clock::time_point> next = kill_at_;
    for (const auto& task : tasks_) {
      if (task->state == State::kRunning) fds.push_back({task->process->descriptor(), POLLIN, 0});
      if (task->state == State::kWaiting) next = std::min(next.value_or(task->due), task->due);
    }
    int timeout = -1;
    if (next) {
      const auto left = std::chrono::ceil<milliseconds>(*next - Clock::now()).count();
      timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
    }
    poll(fds.data(), fds.size(), timeout);
  }

  void take_signals() {
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      const int number = static_cast<int>(info.ssi_signo);
      if (number == SIGINT && interrupted_) {
        report("interrupted again: killing all tasks");
        kill_all();
      } else {
        interrupted_ |= number == SIGINT;
        end_job(number, str_cat("SIG", sigabbrev_np(number)));
      }
    }
  }

  void end_job(int number, const std::string& why) {
    if (!stopped_by_ && !stopping_) {
      stopped_by_ = number;
      report(str_cat(why, ": asking all tasks to end; in ",
                     to_string(std::chrono::duration<double>(options_.grace).count()),
                     " they are killed", number == SIGINT ? " (at once with another Ctrl-C)" : ""));
    }
    stop(number);
  }

  void take_requests() {
    for (const SupervisorRequest& request : requests_.take()) {
      if (const auto* replace = std::get_if<ReplaceRequest>(&request)) {
        for (const auto& task : tasks_) {
          if (is_meant(*replace, *task)) kill_hung(*task, replace->why);
        }
      } else if (!stopping_) {
        const auto& stop = std::get<StopRequest>(request);
        end_job(stop.signal, stop.why);
      }
    }
  }

  bool is_meant(const ReplaceRequest& request, const Task& task) const {
    if (task.plan.name != request.task || task.state != State::kRunning || stopping_) return false;
    if (request.start >= 0) return task.restarts == request.start;
    return Clock::now() - task.started >= request.running_for;
  }

  void kill_hung(Task& task, const std::string& why) const {
    if (!task.hung.empty()) return;
    task.hung = why;
    report(str_cat(task.plan.name, " (pid ", task.pid, ") hangs, killing it: ", why));
    task.process->signal(SIGKILL);  // a process that is stopped takes no other
  }

  void take_ends() {
    std::vector<std::pair<Task*, TaskEnd>> ends;
    for (const auto& task : tasks_) {
      if (task->state != State::kRunning) continue;
      if (const auto end = task->process->poll_end()) ends.emplace_back(task.get(), *end);
    }
    // Of those that ended in the same moment, who lost a peer was not the first to fail.
    std::ranges::stable_sort(
        ends, {}, [](const auto& end) { return !end.second.by_signal && end.second.number == 75; });
    for (const auto& [task, end] : ends) take_end(*task, end);
  }

  void take_end(Task& task, const TaskEnd& end) {
    task.process.reset();
    task.log.end();
    if (end.success()) {
      task.state = State::kDone;
      return;
    }
    task.state = State::kFailed;
    if (stopping_) {
      // A task that dies of the signal that it was sent only did what it was asked.
      if (!stopped_by_ || task.plan.serves) return;
      if (!end.by_signal && end.number != 75 && end.number != 130)
        report(str_cat(description(task, end), "; its log: ", task.log.path()));
      if (end_.exit_code == 0) end_.exit_code = end.by_signal ? code_when_stopped() : end.number;
    } else if (may_restart(task, end)) {
      restart(task, end);
    } else if (may_lose(task, end)) {
      task.state = State::kLost;
      ++end_.lost;
      report(str_cat(description(task, end), "; going on without it (", count_left(), " left, ",
                     options_.min_tasks, " needed); its log: ", task.log.path()));
    } else {
      report_failure(task, end);
      end_.exit_code = !task.hung.empty() ? kHungCode : end.by_signal ? 1 : end.number;
      stop(SIGTERM);
    }
  }

  bool may_restart(const Task& task, const TaskEnd& end) const {
    if (!end.restart_may_help() || task.restarts >= options_.max_restarts) return false;
    return options_.restart_after_success || std::ranges::none_of(tasks_, [](const auto& other) {
             return other->state == State::kDone;
           });
  }

  void restart(Task& task, const TaskEnd& end) {
    if (Clock::now() - task.started > kSoon) task.backoff = kFirstBackoff;
    task.due = Clock::now() + task.backoff;
    task.backoff = std::min(2 * task.backoff, kLongestBackoff);
    task.state = State::kWaiting;
    ++task.restarts;
    ++end_.restarts;
    report(str_cat(description(task, end), "; restarting it (", task.restarts, " of ",
                   options_.max_restarts, "); its log: ", task.log.path()));
  }

  int count_left() const {
    return static_cast<int>(std::ranges::count_if(tasks_, [](const auto& task) {
      return !task->plan.serves && (task->active() || task->state == State::kDone);
    }));
  }

  bool may_lose(const Task& task, const TaskEnd& end) const {
    return options_.min_tasks > 0 && !task.plan.serves && end.restart_may_help() &&
           count_left() >= options_.min_tasks;
  }

  static std::string how(const Task& task, const TaskEnd& end) {
    return str_cat(end.to_string(), task.hung.empty() ? "" : " because it hung");
  }

  std::string description(const Task& task, const TaskEnd& end) const {
    return str_cat(task.plan.name, " (pid ", task.pid, "): ", how(task, end), " after ",
                   to_string(seconds_since(task.started)));
  }

  void report_failure(const Task& task, const TaskEnd& end) {
    const std::string lines = task.log.last_lines(kShownLines);
    failure_ = str_cat(task.plan.name, " failed first: ", how(task, end));
    report(str_cat(task.plan.name, " (pid ", task.pid, ") failed first: ", how(task, end),
                   ", after ", to_string(seconds_since(task.started)),
                   task.restarts > 0 ? str_cat(" and ", count(task.restarts, "restart")) : "",
                   lines.empty() ? "; it printed nothing (" : "; its last lines (", task.log.path(),
                   lines.empty() ? ")" : "):\n" + lines));
  }

  void signal_all(int number) const {
    for (const auto& task : tasks_) {
      if (task->state == State::kRunning) task->process->signal(number);
    }
  }

  // What a job ends with whose tasks could not say it themselves.
  int code_when_stopped() const { return exit_code_after(*stopped_by_); }

  // Asks all to end; from now on nothing is restarted and further failures follow from this.
  void stop(int number) {
    for (const auto& task : tasks_) {
      if (task->state != State::kWaiting) continue;
      task->state = State::kFailed;
      if (stopped_by_) end_.exit_code = code_when_stopped();
    }
    // What a user or a scheduler stops ends well, and for that the others may need their servers.
    const bool spare_servers = stopped_by_ && working();
    for (const auto& task : tasks_) {
      if (task->state != State::kRunning || (spare_servers && task->plan.serves)) continue;
      task->process->signal(number);
    }
    // One that is stopped heeds no signal but this, and others may need it to end well.
    if (!stopping_) signal_all(SIGCONT);
    servers_wait_ = spare_servers;
    if (!stopping_) kill_at_ = Clock::now() + options_.grace;
    stopping_ = true;
  }

  void kill_all() {
    for (const auto& task : tasks_) {
      if (task->state == State::kRunning && !killed_)
        report(str_cat("killing ", task->plan.name, " (pid ", task->pid, ")"));
    }
    killed_ = true;
    signal_all(SIGKILL);
    kill_at_.reset();
  }

  void summarize() {
    std::string how = "done";
    if (!failure_.empty()) {
      how = "failed (" + failure_ + ")";
    } else if (stopped_by_) {
      how = str_cat("stopped by SIG", sigabbrev_np(*stopped_by_));
    }
    report(str_cat(how, ": ", count(static_cast<int64_t>(tasks_.size()), "task"), ", ",
                   count(end_.restarts, "restart"),
                   end_.lost > 0 ? str_cat(", ", end_.lost, " lost") : "", ", ",
                   to_string(seconds_since(begin_))));
  }

  const SupervisorOptions& options_;
  const int signals_;
  SupervisorRequests& requests_;
  const ProcessGuard guard_;
  std::vector<std::unique_ptr<Task>> tasks_;  // destroyed before the guard
  const Clock::time_point begin_ = Clock::now();
  JobEnd end_;
  std::string failure_;
  std::optional<int> stopped_by_;
  std::optional<Clock::time_point> kill_at_;
  bool stopping_ = false, interrupted_ = false, killed_ = false;
  bool servers_wait_ = false;  // to be stopped when all others have ended
};

}  // namespace

Supervisor::Supervisor(SupervisorOptions options) : options_(std::move(options)) {
  TRIREME_CHECK(gettid() == getpid(), "a supervisor belongs to the main thread");
  if (!options_.report) options_.report = report_to_standard_error;
  // A program may be started with its standard streams closed; the numbers must not become pipes.
  for (int fd = 0; fd <= 2;) {
    fd = open("/dev/null", O_RDWR);
    if (fd < 0) break;
    if (fd > 2) {
      ::close(fd);
      break;
    }
  }
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : ending_signals()) sigaddset(&mask, number);
  pthread_sigmask(SIG_BLOCK, &mask, &mask_before_);
  signals_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  // Nobody reading what the launcher prints does not end the job.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &pipe_before_);
}

Supervisor::~Supervisor() {
  ::close(signals_);
  sigaction(SIGPIPE, &pipe_before_, nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

JobEnd Supervisor::run(const std::vector<SupervisedTask>& tasks) {
  return Run(options_, signals_, requests_, tasks).to_its_end();
}

void Supervisor::report_to_standard_error(const std::string& line) {
  // On a terminal a progress bar may stand where the line begins.
  static const bool terminal = isatty(STDERR_FILENO) == 1;
  std::string text = str_cat(terminal ? "\r\033[K" : "", "trireme launch: ", line);
  if (!text.ends_with('\n')) text += '\n';
  (void)!write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace trireme
