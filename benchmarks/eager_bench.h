// `trireme bench eager`: what a value that computes at once costs beside its kernel.
#pragma once

#include <iosfwd>

namespace trireme {

struct EagerBenchOptions {
  int repetitions = 31;
};

// One JSON line a case: case, op_ns (a call), kernel_ns (the prepared kernel alone), dispatch_ns
// (their difference), recorded_ns (a call that a tape records) and
// beside_a_tape_ns (one that a tape does not watch); medians.
void bench_eager(const EagerBenchOptions& options, std::ostream& out);

}  // namespace trireme
