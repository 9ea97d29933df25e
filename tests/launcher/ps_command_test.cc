// `trireme ps`, from every way of starting it: servers that the launcher starts and restarts, the
// last tasks of mpirun, and by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

// A complete snapshot of slot 1, anywhere below `folder`.
bool wait_for_snapshot(const std::string& folder) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < deadline) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("slot-1-") && name.ends_with(".index")) return true;
    }
    std::this_thread::sleep_for(20ms);
  }
  return false;
}

class PsCommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    job_ = folder_.write("job.textproto",
                         testing::kWorkersJob + "parameter_servers { timeout_s: 30 }\n");
  }
  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }

  Words train(const std::string& name, const Words& more) const {
    Words words = {kProgram, "train", job_, "--threads", "1", "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words launch(const std::string& name, const Words& options, const Words& more = {}) const {
    Words words = {kProgram, "launch", "--threads", "1"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job_, "--output-dir", out(name)});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// With two replicas nobody notices that a server is killed: every number of the log is the same.
TEST_F(PsCommandTest, BackupsTakeOverFromKilledServers) {
  const Words set = {"--set", "epochs=200", "--set", "checkpoint.off=true"};
  const Words servers = {"--workers", "2", "--ps", "2", "--ps-replicas", "2"};
  const ProcessResult calm = Process(launch("calm", servers, set)).wait(120s);
  ASSERT_EQ(calm.exit_code, 0) << calm.err;

  Words options = servers;
  options.insert(options.end(), {"--max-restarts", "10"});
  Process job(launch("hit", options, set));
  int kills = 0;
  for (const int victim : {0, 1, 0}) {
    ASSERT_TRUE(
        job.wait_for_error_output("every slot is on two parameter servers", 60s, kills + 1));
    ASSERT_TRUE(job.wait_for_error_output("Epoch " + std::to_string(2 + 5 * kills) + "/", 60s));
    const auto tasks = tasks_of(job.pid(), "ps");
    ASSERT_TRUE(tasks.contains(victim));
    kill(tasks.at(victim), SIGKILL);
    ++kills;
  }
  const ProcessResult result = job.wait(120s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("3 restarts"), HasSubstr("on with the backup")));
  EXPECT_EQ(log("hit"), log("calm"));
}

// With one replica the job goes on from the server's last snapshot, and says what was lost.
TEST_F(PsCommandTest, AServerWithoutBackupGoesOnFromItsSnapshot) {
  const Words set = {"--set", "epochs=300", "--set", "checkpoint.off=true"};
  Process job(launch(
      "alone",
      {"--workers", "2", "--ps", "2", "--max-restarts", "3", "--ps-snapshot-interval", "1"}, set));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 5/", 60s));
  ASSERT_TRUE(wait_for_snapshot(out("alone") + "/logs"));
  const auto tasks = tasks_of(job.pid(), "ps");
  ASSERT_TRUE(tasks.contains(1));
  kill(tasks.at(1), SIGKILL);
  const ProcessResult result = job.wait(120s);
  ASSERT_EQ(result.exit_code, 0) << result.err << read_text(out("alone") + "/logs/ps-1.log");
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("1 restart"), HasSubstr("slot 1 waits until it is started again"),
                    HasSubstr("slot 1 goes on from the last snapshot")));
  for (const auto& entry : std::filesystem::directory_iterator(out("alone") + "/logs")) {
    EXPECT_FALSE(entry.is_directory()) << entry.path() << " is of no use any more";
  }
}

// Not a number of a synchronous training changes when shards go to and fro meanwhile.
TEST_F(PsCommandTest, ShardsMoveWhileTheJobRuns) {
  const Words set = {"--set", "epochs=200", "--set", "checkpoint.off=true"};
  const Words servers = {"--workers", "2", "--ps", "2"};
  const ProcessResult calm = Process(launch("calm", servers, set)).wait(120s);
  ASSERT_EQ(calm.exit_code, 0) << calm.err;
  Process job(launch("moved", servers, set));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
  const std::string logs = out("moved") + "/logs";
  const ProcessResult plan =
      testing::trireme_run({"ps", "rebalance", logs, "--dry-run", "--over", "0.1"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("rows pulled and pushed by slot: slot 0: "));
  for (const Words& moves : {Words{"3=1", "40=0"}, Words{"3=0", "40=1"}}) {
    Words words = {"ps", "rebalance", logs};
    for (const std::string& move : moves) words.insert(words.end(), {"--move", move});
    const ProcessResult moved = testing::trireme_run(words);
    EXPECT_EQ(moved.exit_code, 0) << moved.err;
    EXPECT_THAT(moved.out, HasSubstr("virtual shard 3 is in slot "));
  }
  const ProcessResult result = job.wait(120s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("virtual shard 40 has gone from slot 1 to slot 0"));
  EXPECT_EQ(log("moved"), log("calm"));
  EXPECT_FALSE(std::filesystem::exists(logs + "/job.env"));
}

TEST_F(PsCommandTest, TheLastTasksOfMpirunServe) {
  const ProcessResult expected = Process(train("one", {})).wait(60s);
  ASSERT_EQ(expected.exit_code, 0) << expected.err;
  Words words = {TRIREME_MPIRUN, "--allow-run-as-root", "--oversubscribe", "-np", "4"};
  const Words program = train("mpi", {"--ps", "2", "--strategy", "parameter_server"});
  words.insert(words.end(), program.begin(), program.end());
  // Open MPI keeps what MPI_Init made, and a sanitizer of leaks would report that.
  const Words environment = {"OMP_NUM_THREADS=1", "ASAN_OPTIONS=detect_leaks=0"};
  const ProcessResult result = Process(words, environment).wait(100s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"workers\":2"));
  expect_close(log("mpi"), log("one"));
}

TEST_F(PsCommandTest, ServersAreStartedByHand) {
  const std::string at = "127.0.0.1:" + std::to_string(testing::free_ports());
  const Words environment = {"TRIREME_SECRET=known-to-all-of-us", "TRIREME_JOB_ID=by-hand",
                             "OMP_NUM_THREADS=1"};
  const auto server = [&](const std::string& index) {
    return Words{kProgram,    "ps", "--index",       index, "--ps",           "2",
                 "--threads", "1",  "--coordinator", at,    "--metrics-port", "0"};
  };
  Process first(server("0"), environment), second(server("1"), environment);
  Process worker(train("hand", {"--ps", "2", "--coordinator", at, "--rank", "0", "--world-size",
                                "1", "--strategy", "parameter_server"}),
                 environment);
  const ProcessResult result = worker.wait(100s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (Process* one : {&first, &second}) {
    EXPECT_TRUE(one->wait_for_error_output("metrics at http://127.0.0.1:", 10s));
    const ProcessResult ended = one->wait(30s);
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
  }
}

// Whoever hosts the coordinator was killed: that is no end of a job.
TEST_F(PsCommandTest, AServerThatLosesItsCoordinatorFails) {
  const std::string at = "127.0.0.1:" + std::to_string(testing::free_ports());
  const Words environment = {"TRIREME_SECRET=known-to-all-of-us", "TRIREME_JOB_ID=lost",
                             "OMP_NUM_THREADS=1"};
  Process server(
      {kProgram, "ps", "--index", "0", "--ps", "1", "--threads", "1", "--coordinator", at},
      environment);
  Process worker(train("lost", {"--ps", "1", "--coordinator", at, "--rank", "0", "--world-size",
                                "1", "--strategy", "parameter_server", "--set", "epochs=100000"}),
                 environment);
  ASSERT_TRUE(worker.wait_for_error_output("Epoch 2/", 60s));
  worker.signal(SIGKILL);
  const ProcessResult ended = server.wait(60s);
  EXPECT_EQ(ended.exit_code, 75) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("parameter server 0 has lost the directory of its job"));
}

TEST_F(PsCommandTest, SaysWhatIsMissing) {
  const auto refusal = [](const Words& arguments) {
    const ProcessResult result = testing::trireme_run(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_THAT(refusal({"ps"}), HasSubstr("give --index, --parameter-servers and --coordinator"));
  EXPECT_THAT(refusal({"ps", "--index", "2", "--ps", "2", "--coordinator", "127.0.0.1:9"}),
              HasSubstr("--index 2: expected a rank below 2"));
  EXPECT_THAT(refusal({"ps", "--index", "0", "--ps", "1", "--ps-replicas", "2", "--coordinator",
                       "127.0.0.1:9"}),
              HasSubstr("--ps-replicas 2"));
  EXPECT_THAT(refusal({"train", job_, "--ps", "2"}), HasSubstr("trireme launch --ps 2"));
  EXPECT_THAT(refusal({"ps", "rebalance", out(".")}), HasSubstr("expected the folder of the logs"));
  EXPECT_THAT(refusal({"ps", "rebalance", "127.0.0.1:9", "--move", "3-1"}),
              HasSubstr("--move 3-1: expected SHARD=SLOT"));
  EXPECT_THAT(refusal({"launch", "--ps", "1", "--ps-replicas", "2", job_}),
              HasSubstr("--ps-replicas 2 needs at least 2 parameter servers"));
}

}  // namespace
}  // namespace trireme
