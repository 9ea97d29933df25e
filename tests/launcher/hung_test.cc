// Tasks that hang: the one that keeps the others waiting is replaced, and nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"
#include "tests/support/stopped_thread.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::StoppedThread;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

const Words kEpochs = {"--set", "epochs=400", "--set", "checkpoint.off=true"};

// What the launcher says of such a task.
std::string hung_and_restarted(const std::string& task) {
  return task +
         " \\(pid [0-9]+\\): killed by SIGKILL because it hung after [0-9.]+ s; restarting it " +
         "\\(1 of 1\\)";
}

// The process of rank `rank` that this mpirun started.
pid_t mpi_rank(pid_t mpirun, int rank) {
  const std::string of = std::to_string(mpirun);
  std::stringstream children(read_text("/proc/" + of + "/task/" + of + "/children"));
  for (pid_t child = 0; children >> child;) {
    const std::string environment = read_text("/proc/" + std::to_string(child) + "/environ");
    const std::string variable = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
    if (environment.find(variable + '\0') != std::string::npos) return child;
  }
  throw std::runtime_error("mpirun has no rank " + std::to_string(rank));
}

class HungTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("job.textproto",
                         testing::kWorkersJob + "parameter_servers { timeout_s: 12 }\n");
  }
  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }
  Words launch(const std::string& name, const Words& options, const Words& more = kEpochs) const {
    Words words = {kProgram,  "launch", "--stall-warning", "1", "--collective-timeout", "2",
                   "--grace", "5"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job_, "--threads", "1", "--overwrite", "--output-dir", out(name)});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The log of a job of three workers that nobody disturbed.
  std::string calm() const {
    const ProcessResult result = Process(launch("calm", {"--workers", "3"})).wait(120s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return log("calm");
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// A process that is stopped closes no connection and never exits. Nobody else may be started again:
// the others have the state, and to the last digit.
TEST_F(HungTest, StoppedWorkersAreReplacedAndTheOthersKeepTheirState) {
  const std::string expected = calm();
  for (const std::vector<int>& stopped : {std::vector<int>{1}, std::vector<int>{0, 2}}) {
    Process job(launch("stopped", {"--workers", "3", "--max-restarts", "1"}));
    ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
    const auto before = tasks_of(job.pid());
    for (const int rank : stopped) kill(before.at(rank), SIGSTOP);
    ASSERT_TRUE(job.wait_for_error_output("generation 2 begins", 30s));
    const auto after = tasks_of(job.pid());
    const ProcessResult result = job.wait(120s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (int rank = 0; rank < 3; ++rank) {
      const bool hung = std::ranges::find(stopped, rank) != stopped.end();
      EXPECT_EQ(after.at(rank) != before.at(rank), hung) << rank;
      const std::string name = "worker " + std::to_string(rank);
      if (!hung) continue;
      EXPECT_THAT(result.err, ContainsRegex(hung_and_restarted(name)));
    }
    EXPECT_THAT(result.err, HasSubstr(std::to_string(stopped.size()) + " restart"));
    EXPECT_EQ(log("stopped"), expected);
  }
}

// Its connection lives and it beats: only where it is tells that it hangs.
TEST_F(HungTest, AWorkerThatHangsInUserCodeIsReplaced) {
  Process job(launch("user", {"--workers", "2", "--max-restarts", "1"}));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
  const StoppedThread stopped(tasks_of(job.pid()).at(1));
  if (!stopped.problem().empty()) GTEST_SKIP() << stopped.problem();
  const ProcessResult result = job.wait(120s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, ContainsRegex(hung_and_restarted("worker 1")));
  EXPECT_THAT(result.err, HasSubstr("1 restart,"));
}

// The launcher of its own machine ends it: no other can.
TEST_F(HungTest, TheLauncherOfAnotherNodeReplacesItsOwnWorker) {
  const std::string at = "127.0.0.1:" + std::to_string(testing::free_ports());
  const std::string key = folder_.write("key", "0123456789abcdef\n");
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  const auto node = [&](const char* rank) {
    return launch("nodes", {"--nodes", "2", "--node-rank", rank, "--coordinator", at, "--workers",
                            "1", "--secret-file", key, "--max-restarts", "1"});
  };
  Process first(node("0")), second(node("1"));
  ASSERT_TRUE(first.wait_for_error_output("Epoch 3/", 60s));
  kill(tasks_of(second.pid()).at(1), SIGSTOP);
  const ProcessResult of_first = first.wait(120s), of_second = second.wait(30s);
  EXPECT_EQ(of_first.exit_code, 0) << of_first.err;
  EXPECT_EQ(of_second.exit_code, 0) << of_second.err;
  EXPECT_THAT(of_second.err, ContainsRegex(hung_and_restarted("worker 1")));
  EXPECT_THAT(of_first.err, HasSubstr("1 task, 0 restarts"));
}

TEST_F(HungTest, AHungWorkerThatMayNotBeRestartedEndsTheJobAndIsBlamed) {
  Process job(launch("blamed", {"--workers", "2"}));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
  kill(tasks_of(job.pid()).at(1), SIGSTOP);
  const ProcessResult result = job.wait(30s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err,
              HasSubstr("failed (worker 1 failed first: killed by SIGKILL because it hung)"));
}

// Before it could join, nothing says that it is there.
TEST_F(HungTest, AWorkerThatHangsBeforeItJoinsIsReplaced) {
  const std::string script = folder_.write(
      "start", "if [ $TRIREME_RANK.$TRIREME_INCARNATION = 1.0 ]; then exec sleep 600; fi\nexec " +
                   kProgram + " train " + job_ + " --threads 1 --output-dir " + out("late") + "\n");
  const ProcessResult result =
      Process({kProgram, "launch", "--workers", "2", "--max-restarts", "1", "--join-timeout", "4",
               "--log-dir", out("logs"), "--", "/bin/sh", script})
          .wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(ContainsRegex(hung_and_restarted("worker 1")),
                                HasSubstr("2 tasks, 1 restart,")));
}

// Without a launcher nobody can replace it: the others say who it is, and a restart may help.
TEST_F(HungTest, WithoutALauncherTheHungRankIsNamedAndTheJobEnds) {
  const std::string port = std::to_string(testing::free_ports());
  const auto start = [&](const std::string& rank) {
    return std::make_unique<Process>(
        Words{kProgram, "train", job_, "--threads", "1", "--overwrite", "--output-dir",
              out("torchrun"), "--set", "epochs=4000", "--set",
              "distributed.collective_timeout_s=2", "--set", "distributed.join_timeout_s=3"},
        Words{"RANK=" + rank, "WORLD_SIZE=2", "LOCAL_RANK=" + rank, "LOCAL_WORLD_SIZE=2",
              "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port});
  };
  for (const int hung : {1, 0}) {
    std::unique_ptr<Process> ranks[] = {start("0"), start("1")};
    ASSERT_TRUE(ranks[0]->wait_for_error_output("Epoch 3/", 60s));
    ranks[hung]->signal(SIGSTOP);
    const ProcessResult result = ranks[1 - hung]->wait(20s);
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_THAT(result.err,
                HasSubstr(hung == 1 ? "rank 1 (host" : "the coordinator at 127.0.0.1:"));
    ranks[hung]->signal(SIGKILL);
  }
}

// MPI_Finalize would wait for the one that hangs.
TEST_F(HungTest, UnderMpirunTheHungRankIsNamedAndTheJobEnds) {
  Process job(
      {TRIREME_MPIRUN, "--allow-run-as-root", "--oversubscribe", "-np", "2", kProgram, "train",
       job_, "--threads", "1", "--output-dir", out("mpirun"), "--set", "epochs=4000", "--set",
       "distributed.collective_timeout_s=2", "--set", "distributed.join_timeout_s=3"},
      {"ASAN_OPTIONS=detect_leaks=0"});
  ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
  kill(mpi_rank(job.pid(), 1), SIGSTOP);
  const ProcessResult result = job.wait(25s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("rank 1 (host"), HasSubstr("has been missing for")));
}

bool has_snapshot(const std::string& output) {
  std::error_code gone;  // files come and go meanwhile
  for (std::filesystem::recursive_directory_iterator it(output, gone), end; !gone && it != end;
       it.increment(gone)) {
    const std::string name = it->path().filename();
    if (name.starts_with("slot-1-") && name.ends_with(".index")) return true;
  }
  return false;
}

// A server that hangs keeps all workers waiting, and is no worker's fault.
TEST_F(HungTest, AStoppedServerIsReplacedAndNoWorker) {
  for (const std::string replicas : {"1", "2"}) {
    Process job(launch(
        "ps" + replicas,
        {"--workers", "2", "--ps", "2", "--ps-replicas", replicas, "--max-restarts", "1",
         "--ps-snapshot-interval", "1"},
        {"--strategy", "parameter_server", "--set", "epochs=400", "--set", "checkpoint.off=true"}));
    ASSERT_TRUE(job.wait_for_error_output("Epoch 6/", 60s));
    // Without a replica it goes on from its snapshot; before there is one, all would begin again.
    while (replicas == "1" && !has_snapshot(out("ps1"))) ASSERT_TRUE(job.runs_for(20ms));
    kill(tasks_of(job.pid(), "ps").at(1), SIGSTOP);
    ASSERT_TRUE(job.wait_for_error_output("because it hung", 30s)) << replicas;
    const ProcessResult result = job.wait(120s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, ContainsRegex(hung_and_restarted("ps 1")));
    EXPECT_THAT(result.err, HasSubstr("4 tasks, 1 restart,"));
  }
}

// Such workers have no group: the others wait for it at the servers, or at the end of the epoch.
TEST_F(HungTest, AWorkerThatHangsAtItsServersIsReplaced) {
  for (const std::string consistency : {"SYNC", "ASYNC"}) {
    Process job(launch(consistency, {"--workers", "2", "--ps", "1", "--max-restarts", "1"},
                       {"--strategy", "parameter_server", "--set", "epochs=60", "--set",
                        "parameter_servers.dense=" + consistency}));
    ASSERT_TRUE(job.wait_for_error_output("Epoch 6/", 60s));
    const StoppedThread stopped(tasks_of(job.pid()).at(1));
    if (!stopped.problem().empty()) GTEST_SKIP() << stopped.problem();
    const ProcessResult result = job.wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, ContainsRegex(hung_and_restarted("worker 1")));
    EXPECT_THAT(result.err, HasSubstr("3 tasks, 1 restart,"));
  }
}

}  // namespace
}  // namespace trireme
