// What a sweep came to: a table for people, results.csv, and a line of JSON.
#pragma once

#include <string>

#include "launcher/sweep/runner.h"

namespace trireme::sweep {

// The trials, the best first; at most `rows` of them.
std::string results_table(const TrialHost& host, const SweepState& state, size_t rows);
// All of them, in their order: DIR/results.csv.
void write_results(const TrialHost& host, const SweepState& state);
// The best trial's folder, and how to go on with it; empty: there is none.
std::string best_text(const TrialHost& host, const SweepState& state);
std::string result_line(const TrialHost& host, const SweepState& state, const RunnerEnd& end,
                        int jobs);
// Of a sweep that Slurm has taken.
std::string submitted_line(const TrialHost& host, const std::string& job, int tasks);

}  // namespace trireme::sweep
