// Workers whose peers do not come back keep what they have: nothing since the last checkpoint is
// lost when they end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

class SurvivorTest : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("job.textproto", testing::kWorkersJob); }
  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }
  Words job(const std::string& name, const Words& more = {}) const {
    Words words = {job_,
                   "--threads",
                   "1",
                   "--output-dir",
                   out(name),
                   "--set",
                   "epochs=60",
                   "--set",
                   "distributed.deterministic=true",
                   "--set",
                   "distributed.join_timeout_s=6"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words with(Words words, const Words& more) const {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::unique_ptr<Process>> torchrun(const std::string& name, int size,
                                                 const Words& more = {}) const {
    const std::string port = std::to_string(testing::free_ports());
    std::vector<std::unique_ptr<Process>> ranks;
    for (int i = 0; i < size; ++i) {
      const std::string rank = std::to_string(i), world = std::to_string(size);
      ranks.push_back(std::make_unique<Process>(
          with({kProgram, "train"}, job(name, more)),
          Words{"RANK=" + rank, "WORLD_SIZE=" + world, "LOCAL_RANK=" + rank,
                "LOCAL_WORLD_SIZE=" + world, "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port}));
    }
    return ranks;
  }
  // The step at which it stopped, not that of the last epoch.
  void expect_saved(const std::string& name, const std::string& said) const {
    const std::string key = "stopped after step ";
    const size_t at = said.find(key);
    ASSERT_NE(at, std::string::npos) << said;
    EXPECT_THAT(said.substr(at), HasSubstr("; saved in " + out(name) + "/checkpoints"));
    const int step = std::stoi(said.substr(at + key.size()));
    EXPECT_TRUE(
        std::filesystem::exists(out(name) + "/checkpoints/ckpt-" + std::to_string(step) + ".index"))
        << step;
  }
  void expect_resumes_to(const std::string& expected, const std::string& name) const {
    const ProcessResult resumed =
        Process(with({kProgram, "launch", "--workers", "2"}, job(name, {"--resume"}))).wait(120s);
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("going on from "));
    EXPECT_EQ(log(name), expected);
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// Rank 0 takes the coordinator with it; of two survivors one saves, and both would.
TEST_F(SurvivorTest, WhoeverSurvivesSavesAllAndTheJobGoesOnFromThere) {
  ASSERT_EQ(Process(with({kProgram, "launch", "--workers", "2"}, job("calm"))).wait(120s).exit_code,
            0);
  for (const int killed : {1, 0}) {
    const std::string name = "killed" + std::to_string(killed);
    auto ranks = torchrun(name, 4);
    ASSERT_TRUE(ranks[0]->wait_for_error_output("Epoch 5/", 60s));
    ranks[static_cast<size_t>(killed)]->signal(SIGKILL);
    for (size_t rank = 0; rank < 4; ++rank) {
      if (static_cast<int>(rank) == killed) continue;
      const ProcessResult result = ranks[rank]->wait(30s);
      EXPECT_EQ(result.exit_code, 75) << result.err;
      expect_saved(name, result.err);
    }
    expect_resumes_to(log("calm"), name);
  }
}

// The worker that may not be lost was rank 0, which saves for all.
TEST_F(SurvivorTest, BelowTheLeastNumberOfWorkersTheSurvivorSaves) {
  ASSERT_EQ(Process(with({kProgram, "launch", "--workers", "2"}, job("calm"))).wait(120s).exit_code,
            0);
  Process launcher(
      with({kProgram, "launch", "--workers", "2", "--min-workers", "2"}, job("fewer")));
  ASSERT_TRUE(launcher.wait_for_error_output("Epoch 5/", 60s));
  kill(tasks_of(launcher.pid()).at(0), SIGKILL);
  const ProcessResult result = launcher.wait(60s);
  EXPECT_EQ(result.exit_code, 1) << result.err;  // what the first that failed ended with
  expect_saved("fewer", read_text(out("fewer") + "/logs/worker-1.log"));
  expect_resumes_to(log("calm"), "fewer");
}

// The servers have half of the step in which a worker died: that is no state to go on from.
TEST_F(SurvivorTest, AWorkerAtServersSaysThatTheLastCheckpointIsWhatThereIs) {
  const Words at_servers = {"--strategy", "parameter_server",
                            "--set",      "distributed.deterministic=false",
                            "--set",      "parameter_servers.timeout_s=4"};
  const Words served = {kProgram, "launch", "--workers", "2", "--ps", "1"};
  ASSERT_EQ(Process(with(served, job("calm", at_servers))).wait(120s).exit_code, 0);
  Words more = at_servers;
  more.insert(more.end(), {"--ps", "1"});
  auto ranks = torchrun("killed", 3, more);
  ASSERT_TRUE(ranks[0]->wait_for_error_output("Epoch 5/", 60s));
  ranks[1]->signal(SIGKILL);
  const ProcessResult result = ranks[0]->wait(30s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("go on from the last checkpoint with --resume"));
  more = at_servers;
  more.push_back("--resume");
  const ProcessResult resumed = Process(with(served, job("killed", more))).wait(120s);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  testing::expect_close(log("killed"), log("calm"));
}

}  // namespace
}  // namespace trireme
