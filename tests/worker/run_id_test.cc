// Which launch a process belongs to.
#include "worker/run_id.h"

#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace trireme {
namespace {

class LaunchIdTest : public ::testing::Test {
 protected:
  std::string id(const Environment& environment, bool goes_on = false) const {
    const std::string id = launch_id(folder_.path(), goes_on, environment);
    keep_launch_id(folder_.path(), id, environment);
    return id;
  }
  testing::TemporaryDirectory folder_;
};

TEST_F(LaunchIdTest, DiffersWhereNothingSaysOtherwise) {
  EXPECT_EQ(id({}).size(), 16u);
  EXPECT_NE(id({}), id({}));
  EXPECT_NE(id({}, true), id({}, true));
  EXPECT_EQ(id({{"TRIREME_RUN_ID", "mine"}}), "mine");
}

// torchrun counts its restarts; a second torchrun in the folder may have the same name.
TEST_F(LaunchIdTest, StaysWhenTorchrunStartsAgain) {
  const auto start = [](const std::string& count, const std::string& name = "none") {
    return Environment{{"TORCHELASTIC_RESTART_COUNT", count}, {"TORCHELASTIC_RUN_ID", name}};
  };
  const std::string first = id(start("0"));
  EXPECT_EQ(id(start("1")), first);
  EXPECT_EQ(id(start("2")), first);
  const std::string second = id(start("0"));
  EXPECT_NE(second, first);
  EXPECT_EQ(id(start("1")), second);
  EXPECT_NE(id(start("1", "other")), second);
}

TEST_F(LaunchIdTest, StaysWhenALauncherStartsAgain) {
  const auto start = [](const std::string& count, const std::string& name = "job") {
    return Environment{{"TRIREME_INCARNATION", count}, {"TRIREME_JOB_ID", name}};
  };
  const std::string first = id(start("0"));
  EXPECT_EQ(id(start("1")), first);
  EXPECT_NE(id(start("1", "other")), first);
  EXPECT_NE(id(start("0")), first);
}

// A requeued job keeps its number; one that does not want to go on is another launch, so that its
// workers take nothing of the former one when they are restarted.
TEST_F(LaunchIdTest, StaysInARequeuedSlurmJobThatGoesOn) {
  const auto job = [](const std::string& number, const std::string& cluster = "here") {
    return Environment{
        {"SLURM_JOB_ID", number}, {"SLURM_CLUSTER_NAME", cluster}, {"SLURM_RESTART_COUNT", "1"}};
  };
  const std::string first = id(job("17"), true);
  EXPECT_EQ(id(job("17"), true), first);
  EXPECT_NE(id(job("17", "there"), true), first);
  const std::string other = id(job("18"), true);
  EXPECT_NE(other, first);
  EXPECT_NE(id(job("17"), true), first) << "the folder is the other job's now";
  const std::string anew = id(job("17"), false);
  EXPECT_EQ(id(job("17"), true), anew);
  EXPECT_NE(id(job("17"), false), anew);
}

// A launcher's tasks have none of its scheduler's variables.
TEST_F(LaunchIdTest, IsKeptByTheTasksOfALauncher) {
  const Environment launcher = {{"SLURM_JOB_ID", "17"}};
  const std::string run = launch_id(folder_.path(), true, launcher);
  EXPECT_FALSE(is_kept_launch(folder_.path(), run));
  keep_launch_id(folder_.path(), run,
                 {{"TRIREME_RUN_ID", run},
                  {"TRIREME_INCARNATION", "0"},
                  {"TRIREME_STARTED_BY", started_by(launcher)}});
  EXPECT_TRUE(is_kept_launch(folder_.path(), run));
  EXPECT_EQ(launch_id(folder_.path(), true, launcher), run);
  EXPECT_EQ(started_by({}), "");
}

// The folder may turn out to be another job's: then nothing in it changes.
TEST_F(LaunchIdTest, ChangesNothingBeforeItIsKept) {
  const Environment job = {{"SLURM_JOB_ID", "17"}};
  const std::string first = id(job, true);
  launch_id(folder_.path(), false, {{"SLURM_JOB_ID", "18"}});
  EXPECT_EQ(launch_id(folder_.path(), true, job), first);
}

TEST_F(LaunchIdTest, IsAnotherOneWhereTheFileCannotBeRead) {
  const Environment job = {{"SLURM_JOB_ID", "17"}};
  const std::string first = id(job, true);
  for (const char* bytes : {"", "{", "[1]", R"({"run": 3, "slurm": "17@"})", "null"}) {
    folder_.write("run.json", bytes);
    EXPECT_NE(id(job, true), first) << bytes;
  }
}

}  // namespace
}  // namespace trireme
