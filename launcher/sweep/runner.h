// Runs the trials of a sweep as processes of this machine, some at once, to the end of the sweep.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "launcher/sweep/store.h"
#include "launcher/sweep/trial_run.h"

namespace trireme::sweep {

struct RunnerOptions {
  int jobs = 1;                                 // at once
  bool pin = true;                              // each of them to its share of the cores
  int64_t retries = 2;                          // of a trial that is killed
  std::chrono::milliseconds grace{30'000};      // from asking trials to stop to killing them
  std::function<void(const std::string&)> say;  // a line for people
};

struct RunnerEnd {
  int signal = 0;          // by which it was told to stop; 0: it was not
  double seconds = 0;      // of this run
  double cpu_seconds = 0;  // of the trials' processes
};

// REQUIRES: the main thread. Signals of ending_signals() are passed on to the trials, which save
// and end, and end the run; nothing that it started is left when it returns or throws, nor when the
// program is killed. Throws what TrialRun and Store throw.
RunnerEnd run_trials(const TrialHost& host, Store& store, const RunnerOptions& options);

}  // namespace trireme::sweep
