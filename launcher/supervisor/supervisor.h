// The Supervisor starts the tasks of a job on this machine, watches them, restarts those for which
// that may help, and stops them all when one has failed for good.
//
// Everything happens on the thread that made it, which must be the program's main thread: the
// kernel ends tasks when the thread that started them ends. Make it before other threads, so that
// they inherit the blocked signals: from then on those of ending_signals() are read by run(), which
// passes them on and ends the job. Nothing that run() started is left when it returns or throws,
// nor when the program is killed.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "launcher/supervisor/requests.h"
#include "launcher/supervisor/task_process.h"

namespace trireme {

struct SupervisedTask {
  std::string name;      // for messages: "worker 2"
  TaskCommand command;   // run() adds TRIREME_INCARNATION: 0, and one more for each restart
  std::string log_path;  // standard output and standard error, appended
  bool shown = false;    // what it prints also goes to the launcher's own streams
  // Works for the others until they have ended, then is stopped (a parameter server).
  bool serves = false;
};

struct SupervisorOptions {
  int max_restarts = 0;  // of each task
  // The job goes on as long as so many tasks (that do not serve) run or have succeeded, when one
  // is lost that may not be restarted any more. 0: all are needed.
  int min_tasks = 0;
  // Whether a task is restarted when another has already succeeded. Where all work in step, the
  // job is then over, and the restarted one would wait for peers that never come.
  bool restart_after_success = true;
  // From asking tasks to end (SIGTERM) to killing them.
  std::chrono::milliseconds grace{30'000};
  // One line for people. Null: to standard error, as "trireme launch: …".
  std::function<void(const std::string&)> report;
};

struct JobEnd {
  // 0 when all tasks succeeded (but for those that min_tasks allows to lose); else what the task
  // that failed first exited with, 1 when a signal ended it, 75 when it was killed because it hung.
  // A job that was asked to stop: what its
  // tasks say, or exit_code_after() the signal when they died of it.
  int exit_code = 0;
  int restarts = 0;
  int lost = 0;
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();  // signals are as before
  Supervisor(const Supervisor&) = delete;

  // Runs the job to its end, and says what happened: restarts, the failure that ended it with the
  // last lines of that task's log, one line at the end. Throws Error{kNotFound} when a program
  // cannot be executed, {kInvalidArgument} when a log cannot be written.
  JobEnd run(const std::vector<SupervisedTask>& tasks);

  // From any thread. Kills a task that hangs; then it is restarted or has failed, as if it had
  // died. Nothing happens when that start of it has ended by then, or the job is being stopped.
  void replace(ReplaceRequest request) { requests_.post(std::move(request)); }
  // From any thread. Ends the job as if that signal had come; nothing when it is being ended.
  void stop(StopRequest request) { requests_.post(std::move(request)); }

  // To standard error, one write a line: for logs of other threads, too.
  static void report_to_standard_error(const std::string& line);

 private:
  SupervisorOptions options_;
  SupervisorRequests requests_;
  int signals_ = -1;  // signalfd
  sigset_t mask_before_{};
  struct sigaction pipe_before_ {};
};

}  // namespace trireme
