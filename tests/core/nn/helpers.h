// Small models and data that the tests of core/nn share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/data/dataset.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"

namespace trireme::nn {

// The message of the Error that `body` throws; empty when it throws none.
template <typename Body>
std::string error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Points of a plane in `classes` clusters: easy to learn, and not in one step.
inline data::Dataset clusters(int64_t n, int64_t classes = 3, uint64_t seed = 5) {
  PhiloxGenerator random(seed);
  std::vector<float> points;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) {
    const auto label = static_cast<int64_t>(random.below(static_cast<uint64_t>(classes)));
    const float angle = 6.2831853f * static_cast<float>(label) / static_cast<float>(classes);
    points.push_back(std::cos(angle) + 0.2f * random.normal());
    points.push_back(std::sin(angle) + 0.2f * random.normal());
    labels.push_back(label);
  }
  return data::from_tensors(
      {Tensor::from<float>({n, 2}, points), Tensor::from<int64_t>({n}, labels)},
      {"point", "label"});
}

inline CompileOptions classifier(std::shared_ptr<const Optimizer> optimizer) {
  return {.optimizer = std::move(optimizer),
          .loss = sparse_categorical_cross_entropy(),
          .metrics = {sparse_categorical_accuracy()}};
}

inline FitOptions quiet(int64_t epochs) { return {.epochs = epochs, .progress = std::nullopt}; }

// An empty folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nn_test.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw failed("mkdtemp ", pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Keeps the loss of each step.
class LossRecorder : public Callback {
 public:
  void on_batch_end(Training&, Logs logs) override { losses.push_back(*logs[0].value); }
  std::vector<double> losses;
};

// Keeps the state after one step, and stops there if asked.
class StateAt : public Callback {
 public:
  explicit StateAt(int64_t step, bool stop = false) : step_(step), stop_(stop) {}
  void on_batch_end(Training& training, Logs) override {
    if (training.step() != step_) return;
    state = training.state();
    if (stop_) training.request_stop("the test asked for it");
  }
  StateMap state;

 private:
  int64_t step_;
  bool stop_;
};

}  // namespace trireme::nn
