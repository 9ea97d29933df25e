// `trireme bench load`: how long it takes to load a model file, and how much memory.
#pragma once

#include <iosfwd>
#include <string>

namespace trireme {

struct LoadBenchOptions {
  std::string path;      // a model file of any format that the program knows
  bool predict = false;  // also a prediction of one example of zeros, which touches every weight
};

// One JSON line: format, weights_mib, seconds until the model is built, start_rss_mib and
// peak_rss_mib of the process; with `predict` first_predict_seconds and peak_after_predict_mib.
void bench_load(const LoadBenchOptions& options, std::ostream& out);

}  // namespace trireme
