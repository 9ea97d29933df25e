// The log.csv of a training in a test, which those of other ways to run the same job must follow.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace trireme::testing {

inline std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A log.csv without its last column, data_wait_ms: times differ from run to run.
inline std::string read_log(const std::string& path) {
  std::istringstream in(read_text(path));
  std::string text;
  for (std::string line; std::getline(in, line);) text += line.substr(0, line.rfind(',')) + '\n';
  return text;
}

// Every number of a log.csv but the header's.
inline std::vector<double> numbers(const std::string& csv) {
  std::vector<double> values;
  std::stringstream lines(csv);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::stringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) values.push_back(std::stod(cell));
  }
  return values;
}

// REQUIRES: five columns: epoch, loss, accuracy, val_loss, val_accuracy.
inline void expect_close(const std::string& csv, const std::string& expected) {
  const auto a = numbers(csv), b = numbers(expected);
  ASSERT_EQ(a.size(), b.size()) << csv;
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4 * std::abs(b[i]) + 0.005);
  // Losses, the second column, to the bit of what f32 sums allow.
  for (size_t i = 1; i < a.size(); i += 5) EXPECT_NEAR(a[i], b[i], 1e-4 * std::abs(b[i]));
}

// 20 steps an epoch, the last of 32 rows; dropout, so that masks must not depend on who has a row.
inline const std::string kWorkersJob = R"(name: "workers"
data { digits {} take: 1248 validation_take: 301 }
model {
  layers { conv2d { filters: 4 kernel: 5 stride: 2 activation: RELU } }
  layers { flatten {} }
  layers { dropout { rate: 0.2 } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} }
metrics: ACCURACY
epochs: 3
batch_size: 64
distributed { join_timeout_s: 30 collective_timeout_s: 20 }
)";

}  // namespace trireme::testing
