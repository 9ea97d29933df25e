// A small training in a folder of its own, for tests of what commands leave there.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/launcher/program.h"

namespace trireme::testing {

using Words = std::vector<std::string>;

inline std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

template <typename Condition>
bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class OutputCase : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("small.textproto", kSmallJob); }

  std::string out(const std::string& name) const { return folder_ / name; }
  Words words(const std::string& name, const Words& more = {}) const {
    Words all = {"train", job_, "--quiet", "--threads", "1", "--output-dir", out(name)};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProcessResult train(const std::string& name, const Words& more = {}) const {
    return trireme_run(words(name, more));
  }
  void trained(const std::string& name, const Words& more = {}) const {
    const ProcessResult result = train(name, more);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  // A training that goes on until it is stopped, and has saved a checkpoint.
  std::unique_ptr<Process> endless(const std::string& name) const {
    Words all = words(name, {"--set", "epochs=1000000"});
    all.insert(all.begin(), kProgram);
    auto process = std::make_unique<Process>(all);
    EXPECT_TRUE(
        wait_until([&] { return std::filesystem::exists(out(name) + "/checkpoints/checkpoint"); }));
    return process;
  }
  // One bit of the data of a checkpoint.
  void flip_bit(const std::string& name, int step) const {
    const std::string path =
        out(name) + "/checkpoints/ckpt-" + std::to_string(step) + ".data-00000-of-00001";
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5000);
    const char byte = static_cast<char>(file.get() ^ 4);
    file.seekp(5000);
    file.put(byte);
    ASSERT_TRUE(file.good());
  }
  // Of a training that nothing disturbed.
  std::string whole_log(int epochs) const {
    const std::string name = "whole-" + std::to_string(epochs);
    trained(name, {"--set", "epochs=" + std::to_string(epochs)});
    return read_log(out(name) + "/log.csv");
  }

  TemporaryDirectory folder_;
  std::string job_;
};

}  // namespace trireme::testing
