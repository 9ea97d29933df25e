// `trireme bench readers`: how fast one thread reads files of examples, from the page cache.
#pragma once

#include <iosfwd>
#include <string>

namespace trireme {

struct ReadersBenchOptions {
  std::string filter;   // only cases whose name contains it
  int repetitions = 7;  // the median counts
  std::string folder;   // for the files, a few hundred MB; empty: the system's for temporary files
};

// One JSON line a case: case, seconds (median), and gb_s, examples_s or pictures_s; of JPEG beside
// libjpeg-turbo's own decoding of the same bytes, in turns.
void bench_readers(const ReadersBenchOptions& options, std::ostream& out);

}  // namespace trireme
