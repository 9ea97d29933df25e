// `trireme bench ops`: the time of single ops, run through a session as training runs them.
#pragma once

#include <iosfwd>
#include <string>

namespace trireme {

struct OpsBenchOptions {
  std::string filter;  // only cases whose name contains it
  int threads = 1;
  std::string device = "cpu";  // "cpu", "gpu" or "reference"
  int repetitions = 31;
};

// One JSON line a case: case, device, threads, us (median), min_us, gflop_s or gb_s, arena_mib.
void bench_ops(const OpsBenchOptions& options, std::ostream& out);

}  // namespace trireme
