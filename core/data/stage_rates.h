// How fast each stage of a chain makes its elements: what `trireme bench data` shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

struct StageRate {
  std::string stage;              // "map"
  int64_t elements = 0;           // that were read
  int64_t examples = 0;           // in them: the rows of batches
  double seconds = 0;             // that it took
  double own_us_per_example = 0;  // of the stage itself: what it adds to the chain before it
};

// Reads the chain up to each of its stages, from the source on, on the calling thread, for about
// `seconds` each; at its end a chain is read again. Of several chains that a stage reads the first
// is followed. Stages that only read ahead are left out. The shortest of three rounds counts.
std::vector<StageRate> measure_stages(const Dataset& dataset, double seconds);

// The whole chain as an iterator reads it, on the threads that it asks for.
StageRate measure_chain(const Dataset& dataset, double seconds);

}  // namespace trireme::data
