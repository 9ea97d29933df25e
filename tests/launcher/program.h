// The built program and a small job for it, for tests of the command line.
#pragma once

#include <string>
#include <vector>

#include "tests/support/process.h"

namespace trireme::testing {

inline const std::string kProgram = TRIREME_PROGRAM;

// Runs `trireme` with one compute thread, because tests run side by side.
inline ProcessResult trireme_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kProgram);
  return run(arguments, {"OMP_NUM_THREADS=1"});
}

// A perceptron on some of the program's own digits; ten steps an epoch.
inline const std::string kSmallJob = R"(name: "small"
data { digits {} take: 640 validation_take: 200 }
model {
  layers { flatten {} }
  layers { name: "hidden" dense { units: 16 activation: RELU } }
  layers { dropout { rate: 0.2 } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} }
metrics: ACCURACY
epochs: 2
batch_size: 64
)";

}  // namespace trireme::testing
