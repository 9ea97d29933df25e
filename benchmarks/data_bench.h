// `trireme bench data`: how fast the stages of a job's input pipeline make examples.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "worker/program_tables.h"

namespace trireme {

struct DataBenchOptions {
  std::string job;                     // file; empty: the cases that are built in
  std::vector<std::string> overrides;  // of the job: "path=value"
  std::string data_dir;
  ProgramTables tables = {};
  double seconds = 1;  // a stage
  int threads = 1;     // that read ahead; 0: the thread of the training reads
  bool step = false;   // also how fast the job's training step takes examples
  int compute_threads = 0;
};

// One JSON line a case: case, batch, stages [{stage, examples_per_s, own_us, share}], slowest,
// threads, examples_per_s of the whole pipeline on them; with `step` also step_examples_per_s and
// held_back_by: "step", or the slowest stage. Stages are read alone, on one thread: examples_per_s
// counts all up to this one, own_us is what it adds to an example.
void bench_data(const DataBenchOptions& options, std::ostream& out);

}  // namespace trireme
