// The built program and a small job for it, for tests of the command line.
#pragma once

#include <sys/types.h>

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme::testing {

// TRIREME_TEST_PROGRAM: where it is now, when the tests were taken elsewhere (scripts/gpu_check).
inline const std::string kProgram = [] {
  const char* moved = std::getenv("TRIREME_TEST_PROGRAM");
  return std::string(moved != nullptr ? moved : TRIREME_PROGRAM);
}();

// Runs `trireme` with one compute thread, because tests run side by side.
inline ProcessResult trireme_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kProgram);
  return run(arguments, {"OMP_NUM_THREADS=1"});
}

// The processes that a launcher started, but for its guard: of one kind, by rank.
inline std::map<int, pid_t> tasks_of(pid_t launcher, const std::string& type = "worker") {
  std::map<int, pid_t> tasks;
  const std::string of = std::to_string(launcher);
  std::stringstream children(read_text("/proc/" + of + "/task/" + of + "/children"));
  for (pid_t child = 0; children >> child;) {
    const std::string environment = '\0' + read_text("/proc/" + std::to_string(child) + "/environ");
    const auto value = [&](const std::string& name) {
      const std::string key = std::string(1, '\0') + name + "=";
      const size_t at = environment.find(key);
      return at == std::string::npos ? std::string() : environment.c_str() + at + key.size();
    };
    if (value("TRIREME_TASK_TYPE") != type || value("TRIREME_RANK").empty()) continue;
    tasks[std::atoi(value("TRIREME_RANK").c_str())] = child;
  }
  return tasks;
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
