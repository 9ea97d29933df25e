// A parameter server that dies and comes back without what it had: the job goes on from its last
// checkpoint, or from the beginning, and says what was lost; it never goes on without the values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kWorkersJob;
using ::testing::Not;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

const std::string kClicksJob = R"(name: "clicks"
data { clicks { examples: 20000 keys: 2000 zipf: 1.1 } }
model { layers { wide_deep { keys: 2000 dimension: 4 deep: 16 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adam {} learning_rate: 0.002 }
metrics: AUC
epochs: 6
batch_size: 250
)";

class ServerLossTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("dense.textproto", kWorkersJob + "parameter_servers { timeout_s: 20 }\n");
    clicks_ =
        folder_.write("clicks.textproto", kClicksJob + "parameter_servers { timeout_s: 20 }\n");
  }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }

  Words launch(const std::string& name, const std::string& job, const Words& options,
               const Words& more) const {
    Words words = {kProgram, "launch"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job, "--threads", "1", "--output-dir", out(name)});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The job's log when nothing happens to it.
  std::string calm(const std::string& job, const Words& options, const Words& more) const {
    std::filesystem::remove_all(out("calm"));
    const ProcessResult result = Process(launch("calm", job, options, more)).wait(120s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, Not(HasSubstr("lost_steps")));
    return log("calm");
  }
  // Kills these servers when the job has printed `when`, and lets it run to its end.
  ProcessResult hit(const Words& words, const std::string& when, const std::vector<int>& servers) {
    Process job(words);
    EXPECT_TRUE(job.wait_for_error_output(when, 60s));
    const auto tasks = tasks_of(job.pid(), "ps");
    for (const int server : servers) kill(tasks.at(server), SIGKILL);
    return job.wait(120s);
  }
  static int64_t lost_steps(const ProcessResult& result) {
    const auto line = nlohmann::json::parse(result.out, nullptr, false);
    return line.is_object() ? line.value("lost_steps", int64_t{0}) : -1;
  }

  TemporaryDirectory folder_;
  std::string job_, clicks_;
};

const Words kNoSnapshots = {"--max-restarts", "3", "--ps-snapshot-interval", "0"};

Words operator+(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// In sync consistency the job does the lost steps again, and ends as if nothing had happened.
TEST_F(ServerLossTest, GoesOnFromTheNewestCheckpoint) {
  const Words one = Words{"--workers", "1", "--ps", "1"} + kNoSnapshots;
  const Words two = Words{"--workers", "2", "--ps", "2"} + kNoSnapshots;
  const Words dense = {"--strategy", "parameter_server", "--set", "epochs=16"};
  const Words often = dense + Words{"--set", "checkpoint.every_steps=7"};
  const Words rows = {"--strategy", "parameter_server"}, hybrid = {"--strategy", "hybrid"};
  struct Case {
    std::string job;
    Words options, more;
    std::string when;
    std::vector<int> servers;
  };
  for (const Case& test :
       {Case{job_, one, dense, "Epoch 6/", {0}}, Case{job_, two, often, "Epoch 6/", {1}},
        Case{job_, two + Words{"--ps-replicas", "2"}, dense, "Epoch 6/", {0, 1}},
        Case{clicks_, one, rows, "Epoch 3/", {0}}, Case{clicks_, two, hybrid, "Epoch 3/", {0}}}) {
    SCOPED_TRACE(::testing::PrintToString(test.options) + ::testing::PrintToString(test.more));
    const std::string expected = calm(test.job, test.options, test.more);
    std::filesystem::remove_all(out("hit"));
    const ProcessResult result =
        hit(launch("hit", test.job, test.options, test.more), test.when, test.servers);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("going on from " + out("hit") + "/checkpoints/ckpt-"));
    EXPECT_THAT(result.err, Not(HasSubstr("last snapshot")));
    EXPECT_GE(lost_steps(result), 0) << result.out;
    const auto found = numbers(log("hit")), wanted = numbers(expected);
    ASSERT_EQ(found.size(), wanted.size()) << log("hit");
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 1e-3 * std::abs(wanted[i]) + 1e-3) << log("hit") << expected;
    }
  }
}

// Without a checkpoint there is nothing but the beginning: for all workers, and for the tables.
TEST_F(ServerLossTest, BeginsAgainWithoutACheckpoint) {
  const Words options = Words{"--workers", "2", "--ps", "1"} + kNoSnapshots;
  const Words more = {"--strategy", "parameter_server",   "--set", "epochs=40",
                      "--set",      "checkpoint.off=true"};
  const std::string expected = calm(job_, options, more);
  const ProcessResult result = hit(launch("hit", job_, options, more), "Epoch 12/", {0});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("all tasks begin again"));
  EXPECT_GE(lost_steps(result), 11 * 20) << result.out;
  const auto found = numbers(log("hit")), wanted = numbers(expected);
  ASSERT_EQ(found.size(), wanted.size()) << log("hit");
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], wanted[i], 1e-3 * std::abs(wanted[i]) + 1e-3) << log("hit") << expected;
  }
}

// Where workers are not in step the log differs from run to run, the model must not be worse.
TEST_F(ServerLossTest, LooseConsistencyBeginsAgainToo) {
  const Words options = Words{"--workers", "2", "--ps", "2"} + kNoSnapshots;
  for (const char* set : {"parameter_servers=dense: ASYNC timeout_s: 20",
                          "parameter_servers=dense: BOUNDED staleness: 3 timeout_s: 20"}) {
    const Words more = {"--strategy", "parameter_server", "--set", "epochs=25", "--set", set};
    const auto wanted = numbers(calm(job_, options, more));
    std::filesystem::remove_all(out("hit"));
    const ProcessResult result = hit(launch("hit", job_, options, more), "Epoch 8/", {0});
    ASSERT_EQ(result.exit_code, 0) << set << result.err;
    EXPECT_THAT(result.err, HasSubstr("going on from " + out("hit") + "/checkpoints/ckpt-"));
    const auto found = numbers(log("hit"));
    ASSERT_EQ(found.size(), wanted.size()) << log("hit");
    EXPECT_GT(found.back(), wanted.back() - 0.05) << set << log("hit");
  }
}

// A snapshot is behind the workers, which go on: what is lost is counted, and told.
TEST_F(ServerLossTest, SaysHowManyStepsASnapshotLacks) {
  const Words options = {
      "--workers", "1", "--ps", "1", "--max-restarts", "3", "--ps-snapshot-interval", "1"};
  const Words more = {"--strategy", "parameter_server",   "--set", "epochs=4000",
                      "--set",      "checkpoint.off=true"};
  Process job(launch("hit", job_, options, more));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  const auto has_snapshot = [&] {
    std::error_code error;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(out("hit") + "/logs", error)) {
      if (entry.path().filename().string().ends_with(".index")) return true;
    }
    return false;
  };
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (!has_snapshot() && std::chrono::steady_clock::now() < deadline) {
    ASSERT_TRUE(job.wait_for_error_output("Epoch", 30s));
  }
  kill(tasks_of(job.pid(), "ps").at(0), SIGKILL);
  ASSERT_TRUE(job.wait_for_error_output("slot 0 goes on from the last snapshot", 30s));
  ASSERT_TRUE(job.wait_for_error_output("slot 0 has lost ", 30s));
  job.signal(SIGTERM);
  const ProcessResult result = job.wait(60s);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_GT(lost_steps(result), 0) << result.out;
  EXPECT_FALSE(has_snapshot()) << "no later job may take what this one has left";
}

// A launcher that is killed removes nothing; the next one with these logs does, but for those of a
// job that still runs.
TEST_F(ServerLossTest, SnapshotsOfAKilledLauncherGo) {
  const Words options = {"--workers",      "1", "--ps",      "1",
                         "--max-restarts", "1", "--log-dir", out("logs")};
  const Words more = {"--strategy", "parameter_server", "--set", "epochs=4000"};
  const auto folders = [&] {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(out("logs"))) {
      count += entry.path().filename().string().starts_with("snapshots-") ? 1 : 0;
    }
    return count;
  };
  Process killed(launch("first", job_, options, more));
  ASSERT_TRUE(killed.wait_for_error_output("Epoch 1/", 60s));
  Process runs(launch("second", job_, options, more));
  ASSERT_TRUE(runs.wait_for_error_output("Epoch 1/", 60s));
  EXPECT_EQ(folders(), 2);
  killed.signal(SIGKILL);
  killed.wait(30s);
  Process third(launch("third", job_, options, more));
  ASSERT_TRUE(third.wait_for_error_output("Epoch 1/", 60s));
  EXPECT_EQ(folders(), 2);
  for (Process* job : {&runs, &third}) {
    job->signal(SIGTERM);
    EXPECT_EQ(job->wait(60s).exit_code, 75);
  }
  EXPECT_EQ(folders(), 0);
}

// Where nothing restarts the tasks, a worker ends with the code for that and says what helps.
TEST_F(ServerLossTest, EndsWhereNothingRestartsTasks) {
  const std::string port = std::to_string(testing::free_ports());
  const Words where = {"--coordinator", "127.0.0.1:" + port, "--ps", "1"};
  const Words serve = Words{kProgram, "ps", "--index", "0"} + where;
  const Words train = Words{kProgram,    "train",  job_, "--threads",    "1", "--output-dir",
                            out("hand"), "--rank", "0",  "--world-size", "1"} +
                      where + Words{"--strategy", "parameter_server"};
  const Words environment = {"TRIREME_SECRET=known-to-all-of-us", "TRIREME_JOB_ID=by-hand"};
  Process worker(train + Words{"--set", "epochs=4000"}, environment);
  auto server = std::make_unique<Process>(serve, environment);
  ASSERT_TRUE(worker.wait_for_error_output("Epoch 2/", 60s));
  server->signal(SIGKILL);
  server = std::make_unique<Process>(serve, environment);
  const ProcessResult lost = worker.wait(60s);
  EXPECT_EQ(lost.exit_code, 75) << lost.err;
  EXPECT_THAT(lost.err, HasSubstr("has come back without the rows of slot 0"));
  EXPECT_THAT(lost.err, HasSubstr("start the job again with --resume"));
  server.reset();
  Process next(serve, environment);
  const ProcessResult resumed =
      Process(train + Words{"--resume", "--set", "epochs=8"}, environment).wait(60s);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("going on from "));
}

}  // namespace
}  // namespace trireme
