// Jobs that are told to stop, with real signals: all tasks finish their step, save and end with one
// code, whoever was told and whatever started them; and what was interrupted goes on later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

// A mask of signals of a process, as /proc names it: SigIgn, SigCgt.
bool has_signal(pid_t pid, const std::string& mask, int number) {
  std::stringstream status(read_text("/proc/" + std::to_string(pid) + "/status"));
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(mask + ":")) continue;
    return (std::stoull(line.substr(mask.size() + 1), nullptr, 16) >> (number - 1) & 1) != 0;
  }
  return false;
}

class StopTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("job.textproto", testing::kWorkersJob);
    clicks_ = folder_.write("clicks.textproto", R"(name: "clicks"
data { clicks { examples: 6000 keys: 2000 zipf: 1.1 } }
model { layers { wide_deep { keys: 2000 dimension: 4 deep: 16 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adam {} learning_rate: 0.002 }
metrics: AUC
epochs: 2000
batch_size: 250
)");
  }
  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }
  Words train(const std::string& name, const Words& more) const {
    Words words = {kProgram, "train", job_, "--threads", "1", "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words launch(const std::string& name, const Words& options, const Words& more) const {
    Words words = {kProgram, "launch", "--workers", "2", "--max-restarts", "3"};
    words.insert(words.end(), options.begin(), options.end());
    const bool hybrid = std::ranges::find(more, "hybrid") != more.end();
    words.insert(words.end(),
                 {hybrid ? clicks_ : job_, "--threads", "1", "--output-dir", out(name)});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // Rank 0, then rank 1, as torchrun starts them.
  std::vector<std::unique_ptr<Process>> torchrun(const std::string& name, const Words& more) const {
    const std::string port = std::to_string(testing::free_ports());
    std::vector<std::unique_ptr<Process>> ranks;
    for (const std::string rank : {"0", "1"}) {
      ranks.push_back(std::make_unique<Process>(
          train(name, more),
          Words{"RANK=" + rank, "WORLD_SIZE=2", "LOCAL_RANK=" + rank, "LOCAL_WORLD_SIZE=2",
                "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port}));
    }
    return ranks;
  }

  TemporaryDirectory folder_;
  std::string job_, clicks_;
};

const Words kLong = {"--set", "epochs=4000"};

// A scheduler signals one node, an administrator one process: the job is one, and a launcher that
// may restart tasks does not restart those that did what they were told.
TEST_F(StopTest, WhoeverIsToldAllEndWithOneCode) {
  struct Case {
    std::string strategy, told;
    int index, signal, code;
  };
  for (const Case& test :
       {Case{"multi_worker", "worker", 1, SIGTERM, 75},
        Case{"multi_worker", "worker", 0, SIGUSR1, 75},
        Case{"multi_worker", "worker", 1, SIGINT, 130},
        Case{"parameter_server", "worker", 1, SIGTERM, 75},
        Case{"parameter_server", "ps", 0, SIGUSR2, 75}, Case{"hybrid", "ps", 1, SIGTERM, 75}}) {
    const std::string name = test.strategy + test.told + std::to_string(test.signal);
    const bool servers = test.strategy != "multi_worker";
    Words more = kLong;
    more.insert(more.end(), {"--strategy", test.strategy});
    Process job(launch(name, servers ? Words{"--ps", "2"} : Words{}, more));
    ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
    kill(tasks_of(job.pid(), test.told).at(test.index), test.signal);
    const ProcessResult result = job.wait(30s);
    EXPECT_EQ(result.exit_code, test.code) << name << "\n" << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("was told to stop by SIG"), HasSubstr("0 restarts"),
                                  HasSubstr("go on with --resume"), Not(HasSubstr("failed")),
                                  Not(HasSubstr("killing"))))
        << name;
  }
}

// Each of them is how some scheduler says that the time is up.
TEST_F(StopTest, EverySignalSavesAndWhatWasStoppedGoesOn) {
  const Words set = {"--set", "epochs=40", "--set", "distributed.deterministic=true"};
  ASSERT_EQ(Process(train("calm", set)).wait(60s).exit_code, 0);
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) {
    const std::string name = "signal" + std::to_string(signal);
    Process job(train(name, set));
    ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
    job.signal(signal);
    EXPECT_EQ(job.wait(30s).exit_code, 75) << signal;
    Words resume = set;
    resume.push_back("--resume");
    EXPECT_EQ(Process(train(name, resume)).wait(60s).exit_code, 0);
    EXPECT_EQ(log(name), log("calm")) << signal;
  }
}

// nohup trireme launch … &
TEST_F(StopTest, AnIgnoredHangupStaysIgnoredInAllTasks) {
  Words words =
      launch("nohup", {"--ps", "1"}, {"--strategy", "parameter_server", "--set", "epochs=40"});
  words.insert(words.begin(), {"/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh"});
  Process job(words);
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  auto tasks = tasks_of(job.pid());
  ASSERT_EQ(tasks.size(), 2u);
  for (const auto& [index, pid] : tasks_of(job.pid(), "ps")) tasks[2 + index] = pid;
  tasks[-1] = job.pid();
  for (const auto& [index, pid] : tasks) {
    EXPECT_TRUE(has_signal(pid, "SigIgn", SIGHUP)) << index;
    kill(pid, SIGHUP);
  }
  const ProcessResult result = job.wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("done: 3 tasks, 0 restarts"));
}

// They have nothing to save.
TEST_F(StopTest, EvaluationAndPredictionEndPromptly) {
  ASSERT_EQ(Process(train("trained", {"--set", "epochs=1"})).wait(60s).exit_code, 0);
  for (const std::string command : {"evaluate", "predict"}) {
    Process job({kProgram, command, job_, "--threads", "1", "--checkpoint",
                 out("trained") + "/checkpoints", "--set", "data.validation_take=60000"});
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!has_signal(job.pid(), "SigCgt", SIGUSR1)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::sleep_for(1ms);
    }
    job.signal(SIGUSR1);
    const auto told = std::chrono::steady_clock::now();
    EXPECT_EQ(job.wait(30s).exit_code, 75);
    EXPECT_LT(std::chrono::steady_clock::now() - told, 2s) << command;
  }
}

TEST_F(StopTest, TorchrunsWorkersEndTogetherAndGoOn) {
  const Words set = {"--set", "epochs=60"};
  for (const auto& rank : torchrun("calm", set)) EXPECT_EQ(rank->wait(60s).exit_code, 0);
  auto ranks = torchrun("told", set);
  ASSERT_TRUE(ranks[0]->wait_for_error_output("Epoch 3/", 60s));
  ranks[1]->signal(SIGUSR1);
  for (const auto& rank : ranks) EXPECT_EQ(rank->wait(30s).exit_code, 75);
  Words resume = set;
  resume.push_back("--resume");
  for (const auto& rank : torchrun("told", resume)) EXPECT_EQ(rank->wait(60s).exit_code, 0);
  EXPECT_EQ(log("told"), log("calm"));
}

// mpirun forwards SIGUSR1 to all of its processes; here to one task, which is a server.
TEST_F(StopTest, MpirunsTasksEndTogetherAndGoOn) {
  const auto mpirun = [&](const std::string& name, const Words& more) {
    Words words = {TRIREME_MPIRUN, "--allow-run-as-root", "--oversubscribe", "-np", "3"};
    const Words program = train(name, more);
    words.insert(words.end(), program.begin(), program.end());
    words.insert(words.end(), {"--ps", "1", "--strategy", "parameter_server"});
    return std::make_unique<Process>(words, Words{"ASAN_OPTIONS=detect_leaks=0"});
  };
  const Words set = {"--set", "epochs=40"};
  ASSERT_EQ(mpirun("calm", set)->wait(60s).exit_code, 0);
  const auto job = mpirun("told", set);
  ASSERT_TRUE(job->wait_for_error_output("Epoch 3/", 60s));
  job->signal(SIGUSR1);
  const ProcessResult told = job->wait(30s);
  EXPECT_EQ(told.exit_code, 75) << told.err;
  EXPECT_THAT(told.err, HasSubstr("go on with --resume"));
  Words resume = set;
  resume.push_back("--resume");
  const ProcessResult resumed = mpirun("told", resume)->wait(60s);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_close(log("told"), log("calm"));
}

}  // namespace
}  // namespace trireme
