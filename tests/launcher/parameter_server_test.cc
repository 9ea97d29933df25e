// `trireme train` with parameter servers, with real processes: the losses of one process in sync
// consistency, and what happens when workers die, are stopped, or do not belong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::ContainsRegex;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

// Two tables with the same keys, and moments that would show any row that was updated twice.
const std::string kClicksJob = R"(name: "clicks"
data { clicks { examples: 6000 keys: 2000 zipf: 1.1 } }
model { layers { wide_deep { keys: 2000 dimension: 4 deep: 16 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adam {} learning_rate: 0.002 }
metrics: AUC
epochs: 2
batch_size: 250
)";

class ParameterServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("dense.textproto",
                         testing::kWorkersJob + "parameter_servers { timeout_s: 20 }\n");
    clicks_ = folder_.write("clicks.textproto", kClicksJob);
  }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }

  Words launch(const std::string& name, const std::string& job, const Words& options,
               const Words& more) const {
    Words words = {kProgram, "launch"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job, "--threads", "1", "--output-dir", out(name), "--overwrite"});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The log of one process, which all others follow.
  std::string alone(const std::string& job, const Words& more = {}) const {
    Words words = {kProgram, "train",        job,          "--threads",
                   "1",      "--output-dir", out("alone"), "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = Process(words).wait(120s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return log("alone");
  }

  TemporaryDirectory folder_;
  std::string job_, clicks_;
};

const Words kTwoAndTwo = {"--workers", "2", "--ps", "2"};
const Words kParameterServer = {"--strategy", "parameter_server"};

TEST_F(ParameterServerTest, SyncFollowsOneProcess) {
  const std::string expected = alone(job_);
  for (const Words& options : {kTwoAndTwo, Words{"--workers", "3", "--ps", "1"},
                               Words{"--workers", "2", "--ps", "2", "--ps-replicas", "2"}}) {
    const ProcessResult result = Process(launch("sync", job_, options, kParameterServer)).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\"strategy\":\"parameter_server\""));
    expect_close(log("sync"), expected);
  }
}

TEST_F(ParameterServerTest, RowsAndVariablesFollowOneProcess) {
  const std::string expected = alone(clicks_);
  for (const char* strategy : {"parameter_server", "hybrid"}) {
    const ProcessResult result =
        Process(launch(strategy, clicks_, kTwoAndTwo, {"--strategy", strategy})).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\"workers\":2"));
    expect_close(log(strategy), expected);
    // The checkpoint has the rows, for one process without any server.
    const ProcessResult evaluated = Process({kProgram, "evaluate", clicks_, "--threads", "1",
                                             "--checkpoint", out(strategy) + "/checkpoints"})
                                        .wait(60s);
    ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
    const std::string key = "\"val_loss\":";
    const size_t at = evaluated.out.find(key);
    ASSERT_NE(at, std::string::npos) << evaluated.out;
    EXPECT_NEAR(std::stod(evaluated.out.substr(at + key.size())), numbers(log(strategy))[8], 1e-5);
  }
}

TEST_F(ParameterServerTest, LooseConsistencyLearnsToo) {
  for (const Words& set : {Words{"--set", "parameter_servers.dense=ASYNC"},
                           Words{"--set", "parameter_servers.staleness=3", "--set",
                                 "parameter_servers.dense=BOUNDED"}}) {
    Words more = kParameterServer;
    more.insert(more.end(), set.begin(), set.end());
    const ProcessResult result = Process(launch("loose", job_, kTwoAndTwo, more)).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto values = numbers(log("loose"));
    ASSERT_EQ(values.size(), 15u);
    EXPECT_LT(values[11], 0.9 * values[1]) << log("loose");
  }
}

// Rows of the next batch come while a step is computed, and those that were just here are used
// again.
TEST_F(ParameterServerTest, RowsMayBeOldWhereTheJobSaysSo) {
  const auto wanted = numbers(alone(clicks_));
  for (const Words& set : {Words{"parameter_server",
                                 "parameter_servers=dense: ASYNC sparse: ASYNC cache_staleness: 2"},
                           Words{"hybrid", "parameter_servers=sparse: BOUNDED staleness: 3"},
                           Words{"hybrid", "parameter_servers=sparse: ASYNC no_prefetch: true"}}) {
    const ProcessResult result =
        Process(launch("old", clicks_, kTwoAndTwo, {"--strategy", set[0], "--set", set[1]}))
            .wait(60s);
    ASSERT_EQ(result.exit_code, 0) << set[1] << "\n" << result.err;
    const auto found = numbers(log("old"));
    ASSERT_EQ(found.size(), wanted.size());
    EXPECT_LT(found[8], wanted[3]) << "the second epoch must be better than the first alone";
    EXPECT_GT(found[9], wanted[9] - 0.03) << set[1];
  }
}

// The layer has no name, and none of its keys is seen a million times: no row is kept.
TEST_F(ParameterServerTest, APolicyDecidesWhichKeysHaveRows) {
  std::string text = kClicksJob;
  text.replace(text.find("deep: 16"), 8, "deep: 16 table { admit_after: 1000000 }");
  const std::string strict = folder_.write("strict.textproto", text);
  // How the servers' part of the checkpoint shows the keys that have a row.
  const auto keys_with_rows = [&](const std::string& name, const std::string& job) {
    const ProcessResult result = Process(launch(name, job, {"--workers", "1", "--ps", "1"},
                                                {"--strategy", "hybrid", "--set", "epochs=1"}))
                                     .wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const std::string part = out(name) + "/checkpoints/rows/ckpt-24.ps-00000-of-00001.index";
    return testing::trireme_run({"inspect", part}).out;
  };
  const std::string none = "table/embeddings/keys +i64 +\\[0\\]";
  EXPECT_THAT(keys_with_rows("all", clicks_), Not(ContainsRegex(none)));
  EXPECT_THAT(keys_with_rows("none", strict), ContainsRegex(none));
  // Without servers it would do nothing.
  const ProcessResult alone =
      Process({kProgram, "train", strict, "--output-dir", out("alone")}).wait(60s);
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.err, HasSubstr("strict.textproto:3:"));
  EXPECT_THAT(alone.err, HasSubstr("model.layers[0].wide_deep.table"));
}

// Its pushes count once, and it goes on behind the last of them, so that nothing is to be seen of
// its death but the losses of a few examples in the epoch's mean.
TEST_F(ParameterServerTest, KilledWorkersComeBack) {
  for (const char* strategy : {"parameter_server", "hybrid"}) {
    const Words set = {"--set", "data.clicks.examples=60000", "--set", "epochs=3"};
    const std::string expected = alone(clicks_, set);
    Words options = kTwoAndTwo, more = {"--strategy", strategy};
    options.insert(options.end(), {"--max-restarts", "10"});
    more.insert(more.end(), set.begin(), set.end());
    Process job(launch("hit", clicks_, options, more));
    for (const auto& [epoch, victim] : {std::pair("Epoch 2/", 1), std::pair("Epoch 3/", 0)}) {
      ASSERT_TRUE(job.wait_for_error_output(epoch, 60s)) << strategy;
      const auto workers = tasks_of(job.pid());
      ASSERT_TRUE(workers.contains(victim));
      kill(workers.at(victim), SIGKILL);
    }
    const ProcessResult result = job.wait(100s);
    ASSERT_EQ(result.exit_code, 0) << strategy << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr("2 restarts"));
    const auto found = numbers(log("hit")), wanted = numbers(expected);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 3; i < found.size(); i += 5) {
      EXPECT_NEAR(found[i], wanted[i], 2e-3 * wanted[i]) << strategy << "\n"
                                                         << log("hit") << expected;
    }
  }
}

// With two replicas nothing is lost: the log is that of a job that was left alone.
TEST_F(ParameterServerTest, KilledServersCostNothing) {
  const Words set = {"--set", "data.clicks.examples=60000", "--set", "epochs=3"};
  const std::string expected = alone(clicks_, set);
  Words options = kTwoAndTwo, more = kParameterServer;
  options.insert(options.end(), {"--ps-replicas", "2", "--max-restarts", "10"});
  more.insert(more.end(), set.begin(), set.end());
  Process job(launch("hit", clicks_, options, more));
  ASSERT_TRUE(job.wait_for_error_output("every slot is on two", 60s));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  const auto servers = tasks_of(job.pid(), "ps");
  ASSERT_EQ(servers.size(), 2u);
  kill(servers.at(1), SIGKILL);
  const ProcessResult result = job.wait(100s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("goes on with the backup"));
  expect_close(log("hit"), expected);
}

// What Slurm does to a job whose time is up: all stop after the same step, the servers last, and
// another number of servers and workers goes on.
TEST_F(ParameterServerTest, SigtermSavesAndOtherServersResume) {
  const Words set = {"--set", "data.take=12480", "--set", "epochs=3"};
  const std::string expected = alone(job_, set);
  Words more = kParameterServer;
  more.insert(more.end(), set.begin(), set.end());
  Process job(launch("term", job_, kTwoAndTwo, more));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  job.signal(SIGTERM);
  const ProcessResult stopped = job.wait(30s);
  ASSERT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("go on with --resume"));
  more.push_back("--resume");
  const ProcessResult resumed =
      Process(launch("term", job_, {"--workers", "3", "--ps", "1"}, more)).wait(60s);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_close(log("term"), expected);
}

TEST_F(ParameterServerTest, AWorkerOfAnotherJobIsRefused) {
  std::string other = testing::kWorkersJob;
  other.replace(other.find("rate: 0.2"), 9, "rate: 0.3");
  folder_.write("job-0.textproto", testing::kWorkersJob);
  folder_.write("job-1.textproto", other);
  const ProcessResult result =
      Process({kProgram, "launch", "--workers", "2", "--ps", "1", "--log-dir", out("logs"), "--",
               "/bin/sh", "-c",
               "exec " + kProgram + " train " + (folder_ / "job-") +
                   "$TRIREME_RANK.textproto --threads 1 --strategy parameter_server --output-dir " +
                   out("refused")})
          .wait(60s);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("worker 1 and worker 0 differ in graph"));
}

TEST_F(ParameterServerTest, WhatDoesNotGoTogetherIsSaid) {
  struct Case {
    Words options, more;
    std::string message;
  };
  for (const Case& test : {
           Case{{"--workers", "2"}, kParameterServer, "there are no parameter servers"},
           Case{kTwoAndTwo, {"--strategy", "multi_worker"}, "would have nothing to do"},
           Case{kTwoAndTwo, {"--strategy", "hybrid"}, "the model has no embedding"},
           Case{kTwoAndTwo,
                {"--set", "early_stopping=patience: 1 restore_best: true"},
                "early_stopping.restore_best"},
       }) {
    const ProcessResult result = Process(launch("wrong", job_, test.options, test.more)).wait(60s);
    EXPECT_EQ(result.exit_code, 2) << test.message << "\n" << result.err;
    EXPECT_THAT(result.err, HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace trireme
