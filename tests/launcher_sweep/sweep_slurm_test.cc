// Sweeps whose trials are run by several processes that share a folder: tasks of a Slurm array,
// here of a real Slurm of two nodes, and started by hand.
#include <csignal>
#include <thread>

#include "tests/launcher_sweep/sweep_case.h"
#include "tests/support/slurm.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class SweepArrayTest : public SweepCase {
 protected:
  static constexpr int kTrials = 6;
  const Words options_ = {"--trials", "6", "--set", "epochs=20"};

  static Words joined(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The plan in its folder, by an sbatch that starts nothing.
  void plan(const std::string& output) const {
    const std::string sbatch = folder_.write("sbatch", "#!/bin/sh\necho 42\n");
    std::filesystem::permissions(sbatch, std::filesystem::perms::owner_all);
    const ProcessResult planned =
        Process(words(output, joined(options_, {"--slurm", "--jobs", "2"})),
                {"PATH=" + folder_.path() + ":/usr/bin:/bin"})
            .wait(30s);
    ASSERT_EQ(planned.exit_code, 0) << planned.err;
    EXPECT_EQ(last_json(planned).at("slurm_job"), "42");
  }
  Words task(const std::string& output) const {
    return {kProgram, "sweep", "--task", folder_ / output, "--threads", "1"};
  }
};

TEST_F(SweepArrayTest, TasksTakeTrialsInTurnAndNoneTwice) {
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  plan("out");
  Process one(task("out")), other(task("out")), third(task("out"));
  for (Process* process : {&one, &other, &third}) {
    const ProcessResult result = process->wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
  for (int i = 0; i < kTrials; ++i) EXPECT_EQ(starts("out", i), 1) << i;
  // The command that began it says what they found, and has nothing to submit.
  const ProcessResult later = sweep("out", joined(options_, {"--slurm"}));
  EXPECT_EQ(later.exit_code, 0) << later.err;
  EXPECT_EQ(last_json(later).at("done"), kTrials);
  EXPECT_THAT(later.err, HasSubstr("best: trial-"));
}

TEST_F(SweepArrayTest, WhatADeadTaskWasAtIsTakenByAnother) {
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  plan("out");
  Process victim(task("out"));
  ASSERT_TRUE(victim.wait_for_error_output("trial-0000: val_loss", 60s));
  // While it has part in the sweep, no process may have the sweep to itself.
  const ProcessResult alone = sweep("out", options_);
  EXPECT_EQ(alone.exit_code, 2) << alone.err;
  victim.signal(SIGKILL);
  victim.wait(10s);
  const ProcessResult result = Process(task("out")).wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(last_json(result).at("done"), kTrials);
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
}

TEST_F(SweepArrayTest, WithoutSlurmItSaysSo) {
  const ProcessResult result =
      Process(words("out", joined(options_, {"--slurm"})), {"PATH=" + folder_.path()}).wait(30s);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("program sbatch is in no folder of PATH"));
}

TEST_F(SweepArrayTest, AnArrayOfTwoNodesDoesWhatOneMachineDoes) {
  if (!LocalSlurm::why_not().empty()) GTEST_SKIP() << LocalSlurm::why_not();
  const LocalSlurm slurm;
  ASSERT_EQ(sweep("calm", options_).exit_code, 0);
  const ProcessResult result =
      Process(words("out", joined(options_, {"--slurm", "--jobs", "2", "--wait",
                                             "--sbatch=--nodes=1", "--sbatch=--exclusive"})),
              slurm.environment())
          .wait(90s);
  ASSERT_EQ(result.exit_code, 0) << result.err << read_text(folder_ / "out/slurm-0.log");
  EXPECT_EQ(last_json(result).at("done"), kTrials);
  EXPECT_EQ(logs("out", kTrials), logs("calm", kTrials));
  for (const char* const log : {"out/slurm-0.log", "out/slurm-1.log"}) {
    EXPECT_THAT(read_text(folder_ / log), HasSubstr("trial-000")) << log;
  }
}

}  // namespace
}  // namespace trireme::testing
