// Training over a network: four hosts, network namespaces with links of 1 Gbit/s, a launcher on
// each. What one machine cannot show: peers at other addresses, and a link that dies without a
// sound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/support/process.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kWorkersJob;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

constexpr int kHosts = 4;

class NetlabTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProcessResult works = testing::run({kNetwork, "check"});
    if (works.exit_code != 0) GTEST_SKIP() << works.out << works.err;
    network("up", {std::to_string(kHosts), "1gbit"});
    is_up_ = true;
    job_ = folder_.write("job.textproto", kWorkersJob);
  }

  void TearDown() override {
    if (!is_up_) return;
    for (int host = 1; host <= kHosts; ++host) {
      EXPECT_EQ(testing::run({kNetwork, "pids", kName, std::to_string(host)}).out, "")
          << "host " << host;
    }
    network("down");
  }

  static void network(const std::string& action, const Words& more = {}) {
    Words words = {kNetwork, action, kName};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = testing::run(words);
    ASSERT_EQ(result.exit_code, 0) << action << ": " << result.err;
  }
  static void link(const std::string& action, int host) { network(action, {std::to_string(host)}); }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log_of_rank(int rank) const {
    return read_text(folder_ / ("logs" + std::to_string(rank)) + "/worker-" + std::to_string(rank) +
                     ".log");
  }

  static Words on_host(int host) { return {kNetwork, "run", kName, std::to_string(host)}; }
  Words launcher_of(int rank) const {
    return {kProgram,        "launch",
            "--nodes",       std::to_string(kHosts),
            "--node-rank",   std::to_string(rank),
            "--coordinator", "10.78.0.1:29400",
            "--threads",     "1",
            "--log-dir",     folder_ / ("logs" + std::to_string(rank))};
  }
  // The launcher of host `rank` + 1, which starts that rank.
  std::unique_ptr<Process> launch(int rank, const Words& options, const Words& more) const {
    Words words = on_host(rank + 1);
    const Words launcher = launcher_of(rank);
    words.insert(words.end(), launcher.begin(), launcher.end());
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job_, "--output-dir", out("hosts")});
    words.insert(words.end(), {"--set", "distributed.backend=grpc"});
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<Process>(words, kSecret);
  }
  std::vector<std::unique_ptr<Process>> launch_all(const Words& options, const Words& more) const {
    std::vector<std::unique_ptr<Process>> launchers;
    for (int rank = 0; rank < kHosts; ++rank) launchers.push_back(launch(rank, options, more));
    return launchers;
  }

  // Whether rank `rank` writes `text` to its log by then.
  bool logs(int rank, const std::string& text, Clock::time_point deadline) const {
    while (log_of_rank(rank).find(text) == std::string::npos) {
      if (Clock::now() > deadline) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }

  static inline const std::string kNetwork =
      std::string(TRIREME_SOURCE_DIR) + "/tests/support/local_network";
  static inline const Words kSecret = {"TRIREME_SECRET=known-to-four-hosts"};
  static inline const std::string kName = "test-" + std::to_string(getpid());
  TemporaryDirectory folder_;
  std::string job_;
  bool is_up_ = false;
};

TEST_F(NetlabTest, FourHostsGiveTheLossesOfOneProcess) {
  const ProcessResult alone =
      Process({kProgram, "train", job_, "--threads", "1", "--output-dir", out("alone")}).wait(60s);
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const auto launchers = launch_all({}, {});
  for (int rank = 0; rank < kHosts; ++rank) {
    const ProcessResult result = launchers[static_cast<size_t>(rank)]->wait(60s);
    EXPECT_EQ(result.exit_code, 0) << rank << ": " << result.err;
    if (rank == 0) {
      EXPECT_THAT(result.err, HasSubstr("collectives: grpc, 4 ranks"));
    }
  }
  expect_close(read_log(out("hosts") + "/log.csv"), read_log(out("alone") + "/log.csv"));
}

class CutLinkTest : public NetlabTest, public ::testing::WithParamInterface<const char*> {};

// No connection is reset: all that anybody sees is that nothing comes any more.
TEST_P(CutLinkTest, IsReportedByNameWithinTheDeadline) {
  const auto launchers =
      launch_all({"--collective-timeout", "4", "--stall-warning", "1", "--join-timeout", "6"},
                 {"--set", "epochs=100000", "--set", "checkpoint.off=true"});
  ASSERT_TRUE(launchers[0]->wait_for_error_output("Epoch 2/", 60s));
  const auto cut = Clock::now();
  const auto deadline = cut + 4s + 1s;
  link(GetParam(), 3);
  ASSERT_TRUE(launchers[0]->wait_for_error_output("rank 2 (host", 30s));
  ASSERT_TRUE(launchers[0]->wait_for_error_output("generation 1 has ended: rank 2 (host", 30s));
  EXPECT_LE(Clock::now(), deadline) << "the coordinator";
  for (int rank : {0, 1, 3}) {
    EXPECT_TRUE(logs(rank, "the collective timed out after 4.0 s", deadline)) << "rank " << rank;
    EXPECT_THAT(log_of_rank(rank), HasSubstr("rank 2 (host"));
    EXPECT_THAT(log_of_rank(rank), HasSubstr("has been missing for 4."));
  }
  EXPECT_TRUE(logs(2, "the coordinator at 10.78.0.1:29400 has not answered for 4.0 s", deadline));

  // The host that was cut off gives up by itself, the others when nobody came in its place.
  const ProcessResult lonely = launchers[2]->wait(20s);
  EXPECT_EQ(lonely.exit_code, 75) << lonely.err;
  EXPECT_THAT(lonely.err, HasSubstr("10.78.0.1:29400 does not answer: it is stopped, or cut off"));
  for (int rank : {0, 1, 3}) {
    const ProcessResult result = launchers[static_cast<size_t>(rank)]->wait(20s);
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_THAT(result.err, HasSubstr("rank 2 did not come; generation 1 ended: rank 2 (host"));
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, CutLinkTest, ::testing::Values("cut", "hush"),
                         [](const auto& info) { return std::string(info.param); });

// In the middle of a large tensor: what was sent fills the buffers, and nobody takes it.
TEST_F(NetlabTest, ALinkThatIsCutInATransferIsReportedByName) {
  std::vector<std::unique_ptr<Process>> launchers;
  for (int rank = 0; rank < kHosts; ++rank) {
    Words words = on_host(rank + 1);
    const Words launcher = launcher_of(rank);
    words.insert(words.end(), launcher.begin(), launcher.end());
    words.insert(words.end(), {"--collective-timeout", "4", "--grace", "1", "--", kProgram});
    words.insert(words.end(), {"bench", "allreduce", "--backend", "grpc", "--bytes", "268435456"});
    launchers.push_back(std::make_unique<Process>(words, kSecret));
  }
  const auto sent = [&] {
    Words words = on_host(3);
    words.insert(words.end(), {"/bin/cat", "/sys/class/net/eth0/statistics/tx_bytes"});
    return std::atoll(testing::run(words).out.c_str());
  };
  for (const auto until = Clock::now() + 30s; sent() < 32 << 20 && Clock::now() < until;) {
    std::this_thread::sleep_for(20ms);
  }
  link("hush", 3);
  const auto cut = Clock::now();
  for (int rank : {0, 1, 3}) {
    const ProcessResult result = launchers[static_cast<size_t>(rank)]->wait(30s);
    EXPECT_EQ(result.exit_code, 75) << result.err;
    EXPECT_THAT(result.err, HasSubstr("rank 2 (host"));
    EXPECT_THAT(result.err, HasSubstr("timed out after 4.0 s"));
  }
  // The collective has been under way for a moment already, so this is not the deadline itself.
  EXPECT_LE(Clock::now() - cut, 4s + 2s);
  EXPECT_EQ(launchers[2]->wait(20s).exit_code, 75);
}

// The coordinator's own host: who is left cannot tell it from a coordinator that is stopped.
TEST_F(NetlabTest, ACoordinatorThatIsCutOffEndsAllTasks) {
  const auto launchers =
      launch_all({"--collective-timeout", "4", "--join-timeout", "6", "--grace", "1"},
                 {"--set", "epochs=100000", "--set", "checkpoint.off=true"});
  ASSERT_TRUE(launchers[0]->wait_for_error_output("Epoch 2/", 60s));
  const auto deadline = Clock::now() + 4s + 1s;
  link("hush", 1);
  for (int rank : {1, 2, 3}) {
    EXPECT_TRUE(
        logs(rank, "the coordinator at 10.78.0.1:29400 has not answered for 4.0 s", deadline));
  }
  for (const auto& launcher : launchers) EXPECT_EQ(launcher->wait(20s).exit_code, 75);
}

// Nothing was lost: the log is that of a job that was not disturbed, to the last digit.
TEST_F(NetlabTest, ALinkThatComesBackCostsNothing) {
  const Words set = {"--set", "epochs=100", "--set", "checkpoint.off=true"};
  Words calm = {kProgram, "launch", "--workers", "4", job_, "--output-dir", out("calm")};
  calm.insert(calm.end(), {"--threads", "1", "--set", "distributed.backend=grpc"});
  calm.insert(calm.end(), set.begin(), set.end());
  const ProcessResult undisturbed = Process(calm).wait(120s);
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;

  const auto launchers = launch_all({"--collective-timeout", "3", "--max-restarts", "3"}, set);
  ASSERT_TRUE(launchers[0]->wait_for_error_output("Epoch 2/", 60s));
  link("hush", 3);
  ASSERT_TRUE(launchers[0]->wait_for_error_output("generation 1 has ended: rank 2", 30s));
  link("heal", 3);
  for (const auto& launcher : launchers) {
    const ProcessResult result = launcher->wait(120s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(read_log(out("hosts") + "/log.csv"), read_log(out("calm") + "/log.csv"));
}

}  // namespace
}  // namespace trireme
