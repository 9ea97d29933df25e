// What no restart mends is no lost peer: it ends all tasks of a job, once, with its own code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

constexpr auto kPromptly = 15s;  // where the others would wait for half a minute

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

class PermanentErrorTest : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("job.textproto", testing::kWorkersJob); }
  std::string out() const { return folder_ / "out"; }
  // Runs `words` where the files of this machine are others: `mounts` are commands of a shell.
  static Words elsewhere(const std::string& mounts, const Words& words) {
    Words all = {"/usr/bin/unshare", "--mount", "/bin/sh", "-c", mounts + " && exec \"$@\"", "sh"};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  static bool may_mount() {
    return Process(elsewhere("mount -t tmpfs none /mnt", {"true"})).wait(10s).exit_code == 0;
  }
  Words train(const Words& more) const {
    Words words = {kProgram, "train", job_, "--threads", "1", "--output-dir", out()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // The variables that torchrun gives rank `rank` of two.
  Words variables(const std::string& rank) const {
    return {"RANK=" + rank,
            "WORLD_SIZE=2",
            "LOCAL_RANK=" + rank,
            "LOCAL_WORLD_SIZE=2",
            "MASTER_ADDR=127.0.0.1",
            "MASTER_PORT=" + port_,
            kSecret};
  }

  // Tasks that others could reach need one.
  static inline const std::string kSecret = "TRIREME_SECRET=shared-by-both-tasks";
  const std::string port_ = std::to_string(testing::free_ports());
  TemporaryDirectory folder_;
  std::string job_;
};

// It took 45,000 generations in 90 s, and never said why.
TEST_F(PermanentErrorTest, SharedMemoryThatCannotBeMadeEndsTheJobWithItsCause) {
  if (!may_mount()) GTEST_SKIP() << "this user may not mount";
  for (const Words& command : {Words{kProgram, "launch", "--workers", "2", "--max-restarts", "3",
                                     job_, "--threads", "1", "--output-dir", out()}}) {
    const ProcessResult result =
        Process(elsewhere("mount -t tmpfs -o ro none /dev/shm", command)).wait(kPromptly);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("making shared memory"),
                                  HasSubstr("Read-only file system"), HasSubstr("0 restarts")));
    EXPECT_EQ(count(result.err, "generation 1 has ended"), 1) << result.err;
    EXPECT_THAT(result.err, Not(HasSubstr("generation 2")));
  }
}

TEST_F(PermanentErrorTest, ANameThatDoesNotResolveIsBadInput) {
  const auto begin = Clock::now();
  const ProcessResult result =
      Process(train({"--rank", "1", "--world-size", "2", "--coordinator", "no-such-host.invalid:9",
                     "--set", "distributed.join_timeout_s=4"}),
              {kSecret})
          .wait(kPromptly);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_GE(Clock::now() - begin, 4s) << "names may come late";
  EXPECT_THAT(result.err, AllOf(HasSubstr("waiting: the host name \"no-such-host.invalid\""),
                                HasSubstr("of 4.0 s"), HasSubstr("does not resolve"),
                                HasSubstr("times in 4.0 s")));
}

// An orchestrator tells the DNS of a task when it runs, and its peers before that.
TEST_F(PermanentErrorTest, ANameThatResolvesLateIsWaitedFor) {
  if (!may_mount()) GTEST_SKIP() << "this user may not mount";
  const std::string hosts = folder_.write("hosts", "127.0.0.1 localhost\n");
  Process one(elsewhere("mount --bind " + hosts + " /etc/hosts",
                        train({"--rank", "1", "--world-size", "2", "--coordinator",
                               "late-name:" + port_, "--set", "epochs=1"})),
              {kSecret});
  ASSERT_TRUE(one.wait_for_error_output("does not resolve yet", 30s));
  std::ofstream(hosts, std::ios::app) << "127.0.0.1 late-name\n";
  const ProcessResult zero =
      Process(elsewhere("mount --bind " + hosts + " /etc/hosts",
                        train({"--rank", "0", "--world-size", "2", "--coordinator",
                               "late-name:" + port_, "--set", "epochs=1"})),
              {kSecret})
          .wait(60s);
  EXPECT_EQ(zero.exit_code, 0) << zero.err;
  EXPECT_EQ(one.wait(10s).exit_code, 0);
}

// One host lacks a file, or has another address: the others must not wait for it, nor be told that
// a restart may help. Whichever it is, and however the tasks are held together.
TEST_F(PermanentErrorTest, ATaskThatCannotBeginEndsAll) {
  const std::string bad = folder_.write("bad.textproto", "epochs: many\n");
  const std::string csv = folder_.write("no-data.textproto",
                                        "data { csv { file: \"/no/such.csv\" label: \"y\" } }\n"
                                        "model { layers { dense { units: 1 } } }\n");
  struct Case {
    Words words;
    std::string message;
  };
  for (const Case& test :
       {Case{{kProgram, "train", bad}, "bad.textproto:1:"},
        Case{{kProgram, "train", csv}, "/no/such.csv"},
        Case{train({"--listen", "203.0.113.7", "--set", "distributed.backend=grpc"}),
             "203.0.113.7"}}) {
    for (const std::string failing : {"1", "0"}) {
      Process good(train({}), variables(failing == "1" ? "0" : "1"));
      const ProcessResult failed = Process(test.words, variables(failing)).wait(kPromptly);
      const ProcessResult other = good.wait(kPromptly);
      EXPECT_EQ(failed.exit_code, 2) << failed.err;
      EXPECT_THAT(failed.err, HasSubstr(test.message));
      EXPECT_EQ(other.exit_code, 2) << failing << test.message << "\n" << other.err;
      EXPECT_THAT(other.err, AllOf(HasSubstr("rank " + failing + " (host"),
                                   HasSubstr("has failed: "), HasSubstr(test.message)));
    }
  }
}

TEST_F(PermanentErrorTest, NoWaitIsLongerThanTheJobsOwn) {
  const auto begin = Clock::now();
  const ProcessResult result =
      Process(train({"--set", "distributed.join_timeout_s=2"}), variables("1")).wait(kPromptly);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_LT(Clock::now() - begin, 8s);
  EXPECT_THAT(result.err, HasSubstr("no coordinator has answered at 127.0.0.1:"));
}

TEST_F(PermanentErrorTest, APortThatIsTakenIsBadInput) {
  Process first(train({"--set", "distributed.join_timeout_s=30"}), variables("0"));
  ASSERT_TRUE(first.wait_for_error_output("has joined: 1 of 2", 30s));
  const ProcessResult second = Process(train({}), variables("0")).wait(kPromptly);
  EXPECT_EQ(second.exit_code, 2) << second.err;
  EXPECT_THAT(second.err, HasSubstr("Address already in use; choose another port"));
}

}  // namespace
}  // namespace trireme
