// Sweeps that die, that are stopped, and whose trials die: what comes out is what an undisturbed
// sweep says.
#include <csignal>
#include <set>
#include <thread>

#include "tests/launcher_sweep/sweep_case.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// The trials of a sweep that run now: pid by the job file that they were given.
std::map<std::string, pid_t> running_trials(const std::string& folder) {
  std::map<std::string, pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string command = read_text(entry.path() / "cmdline");
    const size_t at = command.find(folder + "/trial-");
    if (at == std::string::npos || command.find("train") == std::string::npos) continue;
    found[command.c_str() + at] = std::stoi(entry.path().filename());
  }
  return found;
}

template <typename Condition>
bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

class SweepLossTest : public SweepCase {
 protected:
  // Long enough to be met while they run.
  const Words options_ = {"--trials", "6", "--jobs", "2", "--set", "epochs=40"};
  static constexpr int kTrials = 6;
};

TEST_F(SweepLossTest, GoesOnAfterSigkillOfItself) {
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  std::map<int, int> finished;  // trials and how often they had been started then
  for (int kills = 0; kills < 3; ++kills) {
    Process process(words("out", options_));
    ASSERT_TRUE(process.wait_for_error_output(": val_loss", 60s)) << process.error_output();
    process.signal(SIGKILL);
    process.wait(20s);
    // The trials end with it.
    EXPECT_TRUE(wait_until([&] { return running_trials(folder_ / "out").empty(); }));
    for (int i = 0; i < kTrials; ++i) {
      if (has_result("out", i)) finished.emplace(i, starts("out", i));
    }
  }
  EXPECT_GE(finished.size(), 3u);
  const ProcessResult last = sweep("out", options_);
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
  for (const auto& [trial, count] : finished) EXPECT_EQ(starts("out", trial), count) << trial;
}

TEST_F(SweepLossTest, ATrialThatIsKilledGoesOnFromItsCheckpoint) {
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  Process process(words("out", options_));
  std::set<std::string> killed;
  ASSERT_TRUE(wait_until([&] {
    for (const auto& [job, pid] : running_trials(folder_ / "out")) {
      const std::string folder = std::filesystem::path(job).parent_path();
      if (killed.contains(job) || !std::filesystem::exists(folder + "/checkpoints/checkpoint")) {
        continue;
      }
      kill(pid, SIGKILL);
      killed.insert(job);
    }
    return killed.size() >= 3;
  }));
  const ProcessResult result = process.wait(60s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("killed by SIGKILL; it will go on"));
  EXPECT_EQ(last_json(result).at("done"), kTrials);
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
}

// Something that kills a trial each time, such as too little memory, must not hold up the sweep.
TEST_F(SweepLossTest, ATrialThatIsAlwaysKilledFailsAfterItsRetries) {
  Words options = options_;
  options.insert(options.end(), {"--retries", "1"});
  Process process(words("out", options));
  const std::string victim = trial("out", 1) + "/job.textproto";
  int kills = 0;
  pid_t last = 0;
  ASSERT_TRUE(wait_until([&] {
    const auto running = running_trials(folder_ / "out");
    const auto found = running.find(victim);
    if (found != running.end() && found->second != last) {
      last = found->second;
      kill(last, SIGKILL);
      ++kills;
    }
    return kills == 2;
  }));
  const ProcessResult result = process.wait(60s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(last_json(result).at("failed"), 1);
  EXPECT_EQ(last_json(result).at("done"), kTrials - 1);
  EXPECT_THAT(result.err,
              HasSubstr("trial-0001 failed: killed by SIGKILL, at the last of 2 tries"));
}

TEST_F(SweepLossTest, CtrlCSavesTheTrialsAndTheSameCommandGoesOn) {
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  Process process(words("out", options_));
  ASSERT_TRUE(process.wait_for_error_output(": val_loss", 60s));
  process.signal(SIGINT);
  const ProcessResult stopped = process.wait(30s);
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on in "));
  EXPECT_TRUE(running_trials(folder_ / "out").empty());
  const ProcessResult result = sweep("out", options_);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
}

TEST_F(SweepLossTest, TwoSweepsDoNotShareAFolder) {
  Process process(words("out", options_));
  ASSERT_TRUE(process.wait_for_error_output("trials in", 60s));
  const ProcessResult second = sweep("out", options_);
  EXPECT_EQ(second.exit_code, 2) << second.err;
  EXPECT_THAT(second.err, HasSubstr("process " + std::to_string(process.pid())));
  process.signal(SIGKILL);
}

}  // namespace
}  // namespace trireme::testing
