// `trireme bench ps`: rows a second that workers push to and pull from parameter servers.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace trireme {

struct PsBenchOptions {
  int servers = 1;
  int workers = 1;
  int replicas = 1;
  int64_t keys = 100'000;  // of the table
  int64_t dim = 16;
  std::string optimizer = "sgd";     // one of ps_bench_optimizers()
  std::string transport = "tcp";     // tcp, shm
  std::string distribution = "all";  // one of ps_bench_distributions()
  int64_t rows = 0;                  // a call, of uniform and zipf; 0: as many as there are keys
  std::string row_type = "f32";      // f32, bf16, f16, int8
  int reps = 20;                     // calls of a timed block
  int blocks = 5;                    // the median of them counts
  int in_flight = 2;                 // calls that are under way at a time
};

std::vector<std::string> ps_bench_optimizers();
// all: each call names every key, in order. uniform, zipf: each call draws its keys anew, and
// finding those that are equal is part of the time.
std::vector<std::string> ps_bench_distributions();

// As one worker of a cluster that a launcher has started, with its servers. Checks that the rows
// are what was pushed, then writes (rank 0) one JSON line: peer, servers, workers, keys, dim,
// optimizer, transport, push_mrow_s, pull_mrow_s (medians of all workers together).
void bench_ps(const PsBenchOptions& options, std::ostream& out);

}  // namespace trireme
