// Workers that fail by themselves: their error is everybody's, at once. And what a job keeps when
// all of its workers are lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

constexpr auto kPromptly = 15s;  // where a hang would last a minute

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

class FailureTest : public ::testing::Test {
 protected:
  // 500 rows in order, 25 steps of 20 an epoch.
  std::string job(int bad_row = -1) const {
    std::ostringstream rows;
    rows << "a,b,y\n";
    for (int i = 0; i < 625; ++i) {
      rows << i % 7 - 3 << ',' << i % 5 - 2 << ',' << (i == bad_row ? 7 : i % 2) << '\n';
    }
    const std::string csv = folder_.write("rows.csv", rows.str());
    return folder_.write("job.textproto", "name: \"failure\"\ndata { csv { file: \"" + csv +
                                              R"(" label: "y" integer_label: true }
  keep_order: true }
model { layers { name: "logits" dense { units: 2 } } }
loss: SPARSE_CATEGORICAL_CROSS_ENTROPY
optimizer { sgd {} learning_rate: 0.1 }
epochs: 3
batch_size: 20
checkpoint { every_steps: 5 }
distributed { threads: 1 deterministic: true }
)");
  }
  std::string out() const { return folder_ / "out"; }
  Words launch(const Words& options, const std::string& job, const Words& more = {}) const {
    Words words = {kProgram, "launch"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job, "--output-dir", out()});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TemporaryDirectory folder_;
};

// Row 113 is in the part of rank 1 of 2, and of no other.
TEST_F(FailureTest, AWorkersOwnErrorIsEverybodysAtOnce) {
  for (const std::string backend : {"shm", "grpc"}) {
    const ProcessResult result =
        Process(launch({"--workers", "2"}, job(113),
                       {"--set", "distributed.backend=" + backend, "--overwrite"}))
            .wait(kPromptly);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr("row 3 of this batch has the label 7"));
    EXPECT_THAT(result.err, Not(HasSubstr("killing worker")));
    for (const std::string log : {"worker-0.log", "worker-1.log"}) {
      EXPECT_THAT(read_text(out() + "/logs/" + log),
                  HasSubstr("row 3 of this batch has the label 7"))
          << backend;
    }
  }
}

TEST_F(FailureTest, AnErrorOnOneMirroredDeviceEndsTheWaitOfTheOthers) {
  const ProcessResult result = Process({kProgram, "train", job(113), "--strategy", "mirrored",
                                        "--cpu-devices", "2", "--output-dir", out()})
                                   .wait(kPromptly);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("of this batch has the label 7"));
}

TEST_F(FailureTest, ASignalEndsTheWaitForOtherWorkers) {
  Process alone({kProgram, "train", job(), "--rank", "0", "--world-size", "2", "--coordinator",
                 "127.0.0.1:" + std::to_string(testing::free_ports()), "--output-dir", out()});
  ASSERT_TRUE(alone.wait_for_error_output("has joined: 1 of 2", 15s));
  alone.signal(SIGTERM);
  const ProcessResult result = alone.wait(kPromptly);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, HasSubstr("stopped while waiting for the other workers"));
}

// Only one host may have the checkpoint.
TEST_F(FailureTest, OneWorkersCheckpointServesAll) {
  const std::string whole = folder_ / "whole", other = folder_ / "other";
  const std::string path = job();
  Process({kProgram, "train", path, "--output-dir", whole}).wait(kPromptly);
  Process({kProgram, "train", path, "--output-dir", other, "--set", "epochs=1"}).wait(kPromptly);
  const std::string script =
      folder_.write("start", "exec " + kProgram + " train " + path + " --resume --output-dir " +
                                 (folder_ / "rank-") + "$TRIREME_RANK\n");
  fs::copy(other, folder_ / "rank-1", fs::copy_options::recursive);
  const ProcessResult result = Process({kProgram, "launch", "--workers", "2", "--log-dir",
                                        folder_ / "logs", "--", "/bin/sh", script})
                                   .wait(kPromptly);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_log(folder_ / "rank-0/log.csv"), read_log(whole + "/log.csv"));
  // Nobody has one.
  fs::remove_all(folder_ / "rank-0");
  fs::remove_all(folder_ / "rank-1");
  const ProcessResult none = Process({kProgram, "launch", "--workers", "2", "--log-dir",
                                      folder_ / "logs", "--", "/bin/sh", script})
                                 .wait(kPromptly);
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("--resume: there is no checkpoint in"));
}

// Started again, they go on from what this job has saved, not from what another left there.
TEST_F(FailureTest, AllWorkersKilledGoOnFromTheLastCheckpoint) {
  const Words set = {"--set", "epochs=40", "--overwrite"};
  Process({kProgram, "train", job(), "--output-dir", out(), "--set", "epochs=2"}).wait(kPromptly);
  Process launcher(launch({"--workers", "2", "--max-restarts", "4"}, job(), set));
  ASSERT_TRUE(launcher.wait_for_error_output("Epoch 5/", 15s));
  const std::string of = std::to_string(launcher.pid());
  std::stringstream children(read_text("/proc/" + of + "/task/" + of + "/children"));
  for (pid_t child = 0; children >> child;) {
    const std::string environment = read_text("/proc/" + std::to_string(child) + "/environ");
    if (environment.find("TRIREME_RANK=") != std::string::npos) kill(child, SIGKILL);
  }
  const ProcessResult result = launcher.wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("going on from "));
  const std::string log = read_log(out() + "/log.csv");
  Process({kProgram, "train", job(), "--output-dir", out() + "2", "--set", "epochs=40"}).wait(60s);
  EXPECT_EQ(log, read_log(out() + "2/log.csv"));
}

}  // namespace
}  // namespace trireme
