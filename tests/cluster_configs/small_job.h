// One small job for every script of cluster_configs/, and what each run of it must show.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme::testing {

using Words = std::vector<std::string>;

inline const std::string kScripts = TRIREME_SOURCE_DIR "/cluster_configs/";

// What makes it a job with parameter servers.
inline const Words kServed = {"--strategy", "parameter_server"};

class SmallJob : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("small.textproto", kWorkersJob); }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }

  // The job and what follows it, for any of the scripts.
  Words job(const std::string& name, const Words& more = {}) const {
    Words words = {job_, "--threads", "1", "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // A script's words, the job's behind them.
  Words script(const std::string& path, Words first, const std::string& name,
               const Words& more = {}) const {
    first.insert(first.begin(), kScripts + path);
    const Words rest = job(name, more);
    first.insert(first.end(), rest.begin(), rest.end());
    return first;
  }
  // What the scripts run.
  static Words environment(Words more = {}) {
    // Open MPI keeps what MPI_Init made, and a sanitizer of leaks would report that.
    more.insert(more.end(), {std::string("TRIREME=") + TRIREME_PROGRAM, "OMP_NUM_THREADS=1",
                             "ASAN_OPTIONS=detect_leaks=0"});
    return more;
  }

  void expect_trained(const ProcessResult& result, const std::string& name, int workers) {
    ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
    EXPECT_THAT(result.out, ::testing::HasSubstr("\"workers\":" + std::to_string(workers)));
    expect_losses_of_one_process(name);
  }

  // The losses, to what another order of f32 sums allows.
  void expect_losses_of_one_process(const std::string& name) {
    static const std::string expected = [&] {
      Words words = {TRIREME_PROGRAM, "train"};
      for (const std::string& word : job("alone")) words.push_back(word);
      const ProcessResult result = run(words);
      EXPECT_EQ(result.exit_code, 0) << result.err;
      return log("alone");
    }();
    expect_close(log(name), expected);
  }

  TemporaryDirectory folder_;
  std::string job_;
};

}  // namespace trireme::testing
