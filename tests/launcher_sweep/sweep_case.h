// A small sweep by the built program, for tests of `trireme sweep`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/launcher/program.h"

namespace trireme::testing {

using Words = std::vector<std::string>;

// Five steps an epoch, so that a trial takes no time; a schedule that depends on the whole run.
inline const std::string kSweptJob = R"(name: "swept"
data { digits {} take: 320 validation_take: 100 }
model {
  layers { flatten {} }
  layers { name: "hidden" dense { units: 8 activation: RELU } }
  layers { dropout { rate: 0.1 } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} learning_rate: 0.01 schedule { cosine {} } }
metrics: ACCURACY
epochs: 4
batch_size: 64
)";

class SweepCase : public ::testing::Test {
 protected:
  Words words(const std::string& output, const Words& more = {}) const {
    Words all = {kProgram,
                 "sweep",
                 job_,
                 "--output-dir",
                 folder_ / output,
                 "--threads",
                 "1",
                 "--vary",
                 "optimizer.learning_rate=log(1e-4,1e-1)"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProcessResult sweep(const std::string& output, const Words& more = {}) const {
    return Process(words(output, more)).wait(std::chrono::seconds(120));
  }
  std::string trial(const std::string& output, int number) const {
    char name[32];
    std::snprintf(name, sizeof name, "/trial-%04d", number);
    return (folder_ / output) + name;
  }
  // What each trial trained, to the last digit that its log has.
  std::map<int, std::string> logs(const std::string& output, int trials) const {
    std::map<int, std::string> all;
    for (int i = 0; i < trials; ++i) all[i] = read_log(trial(output, i) + "/log.csv");
    return all;
  }
  // How often a process of the trial was started.
  int starts(const std::string& output, int number) const {
    return count_events(output, number, "start");
  }
  bool has_result(const std::string& output, int number) const {
    return count_events(output, number, "result") > 0;
  }
  int count_events(const std::string& output, int number, const std::string& kind) const {
    std::istringstream lines(read_text((folder_ / output) + "/journal.jsonl"));
    int found = 0;
    for (std::string line; std::getline(lines, line);) {
      const auto event = nlohmann::json::parse(line, nullptr, false);
      if (event.is_discarded()) continue;  // cut off by a SIGKILL
      found += event.at("event") == kind && event.at("trial") == number;
    }
    return found;
  }
  static nlohmann::json last_json(const ProcessResult& result) {
    return nlohmann::json::parse(result.out, nullptr, false);
  }

  const TemporaryDirectory folder_;
  const std::string job_ = folder_.write("swept.textproto", kSweptJob);
};

}  // namespace trireme::testing
