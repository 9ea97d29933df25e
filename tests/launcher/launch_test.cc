// `trireme launch` with real processes: what each task gets, who is said to have failed first,
// signals, restarts, logs, and that nothing is ever left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "launcher/supervisor/supervisor.h"
#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kSmallJob;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

constexpr auto kDeadline = 20s;

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

bool appears(const std::string& path) {
  return eventually([&] { return std::filesystem::exists(path); });
}

// Gone, or dead and only not waited for by whoever inherited it.
bool is_gone(const std::string& pid) {
  const std::string stat = read_text("/proc/" + pid + "/stat");
  return stat.empty() || stat.find(") Z ") != std::string::npos ||
         stat.find(") X ") != std::string::npos;
}

// `trireme launch OPTIONS -- launched_program ACTIONS`, with logs in `folder`/logs.
Words launch(const TemporaryDirectory& folder, Words options, const Words& actions) {
  Words words = {kProgram, "launch", "--log-dir", folder / "logs"};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back("--");
  words.push_back(LAUNCHED_PROGRAM);
  words.insert(words.end(), actions.begin(), actions.end());
  return words;
}

class LaunchTest : public ::testing::Test {
 protected:
  ProcessResult run(const Words& options, const Words& actions, const Words& environment = {}) {
    return Process(launch(folder_, options, actions), environment).wait(kDeadline);
  }
  std::string log(int rank) const {
    return read_text(folder_ / ("logs/worker-" + std::to_string(rank) + ".log"));
  }
  std::string file(const std::string& name) const { return folder_ / name; }

  const TemporaryDirectory folder_;
};

TEST_F(LaunchTest, EachTaskGetsItsPlaceAndNoOtherLaunchersVariables) {
  const ProcessResult result =
      run({"--workers", "3", "--threads", "1"}, {"environment"},
          {"RANK=7", "WORLD_SIZE=9", "OMPI_COMM_WORLD_RANK=7", "TF_CONFIG={}", "SLURM_PROCID=7",
           "TRIREME_RANK=7", "TRIREME_SECRET=old", "TRIREME_DATA_DIR=/data", "MINE=kept"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::string secret;
  for (int rank = 0; rank < 3; ++rank) {
    const std::string text = "\n" + log(rank);
    const std::string r = std::to_string(rank);
    for (const std::string& expected :
         {"TRIREME_RANK=" + r, "TRIREME_LOCAL_RANK=" + r, std::string("TRIREME_WORLD_SIZE=3"),
          std::string("TRIREME_LOCAL_SIZE=3"), std::string("TRIREME_HOSTS_COORDINATOR=0"),
          std::string("TRIREME_LISTEN=127.0.0.1"), std::string("TRIREME_TASK_TYPE=worker"),
          std::string("TRIREME_PARAMETER_SERVERS=0"), std::string("TRIREME_INCARNATION=0"),
          std::string("OMP_NUM_THREADS=1"), std::string("TRIREME_DATA_DIR=/data"),
          std::string("MINE=kept"), std::string("TRIREME_PROGRESS=lines")}) {
      EXPECT_THAT(text, HasSubstr("\n" + expected + "\n"));
    }
    EXPECT_THAT(text, ContainsRegex("\nTRIREME_COORDINATOR=127.0.0.1:[0-9]+\n"));
    EXPECT_THAT(text, ContainsRegex("\nTRIREME_JOB_ID=job-[0-9a-f]+\n"));
    EXPECT_THAT(text, ContainsRegex("\nTRIREME_SECRET=[0-9a-f]{64}\n"));
    for (const char* name :
         {"RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "TF_CONFIG", "SLURM_PROCID"}) {
      EXPECT_THAT(text, Not(HasSubstr("\n" + std::string(name) + "=")));
    }
    const size_t at = text.find("TRIREME_SECRET=");
    if (rank == 0) secret = text.substr(at, 80);
    EXPECT_EQ(text.substr(at, 80).substr(0, 79), secret.substr(0, 79));
  }
}

TEST_F(LaunchTest, CoresAreShared) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  if (cores < 2) GTEST_SKIP() << "one core cannot be shared";
  ASSERT_EQ(run({"--workers", "2"}, {"cores", "environment"}, {"OMP_NUM_THREADS="}).exit_code, 0);
  EXPECT_THAT(log(0), HasSubstr("cores " + std::to_string(cores / 2)));
  EXPECT_THAT(log(0), HasSubstr("OMP_NUM_THREADS=" + std::to_string(cores / 2)));
  ASSERT_EQ(run({"--workers", "1", "--no-affinity"}, {"cores"}).exit_code, 0);
  EXPECT_THAT(log(0), HasSubstr("cores " + std::to_string(cores)));
}

TEST_F(LaunchTest, AllOutputIsInTheLogsAndThatOfRankZeroIsShown) {
  const ProcessResult result =
      run({"--workers", "2"}, {"lines:20000", "error:to standard error", "print:the end"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::string lines;
  for (int i = 0; i < 20'000; ++i) lines += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(result.out, lines + "the end\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("to standard error\n"), HasSubstr("done: 2 tasks")));
  for (int rank : {0, 1}) {
    // The two streams of rank 0 come through two pipes: only each for itself keeps its order.
    std::string text = log(rank);
    const std::string error = "to standard error\n";
    ASSERT_THAT(text, HasSubstr(error));
    text.erase(text.find(error), error.size());
    EXPECT_THAT(text, HasSubstr("started"));
    EXPECT_TRUE(text.find(lines + "the end\n") != std::string::npos);
  }
}

// Ranks 0 and 1 fail too, as a consequence and before worker 2 in the order of ranks.
TEST_F(LaunchTest, TheFirstFailureByTimeIsReportedWithItsLastLines) {
  const ProcessResult result =
      run({"--workers", "3"}, {"lines:50", "touch:" + file("up{rank}"), "await:" + file("up0"),
                               "await:" + file("up1"), "2/print:the reason", "2/exit:3",
                               "0/wait-signal", "0/exit:4", "1/wait-signal", "1/exit:75"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, ContainsRegex("worker 2 \\(pid [0-9]+\\) failed first: exit code 3, "
                                        "after [0-9.]+ s; its last lines \\(.*worker-2.log\\):"));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("  | line 49\n  | the reason\n"), Not(HasSubstr("  | line 30\n"))));
  EXPECT_THAT(result.err, HasSubstr("failed (worker 2 failed first: exit code 3): 3 tasks"));
  EXPECT_THAT(log(0), HasSubstr("caught SIGTERM"));
  EXPECT_THAT(log(1), HasSubstr("caught SIGTERM"));
}

// A busy launcher finds both dead at once; the one that lost a peer did not fail first.
TEST_F(LaunchTest, LosingAPeerIsNotTheFirstFailure) {
  Process process(
      launch(folder_, {"--workers", "2"},
             {"touch:" + file("up{rank}"), "await:" + file("go"), "0/exit:75", "1/die:9"}));
  ASSERT_TRUE(appears(file("up0")) && appears(file("up1")));
  process.signal(SIGSTOP);
  folder_.write("go", "");
  for (const char* task : {"up0", "up1"})
    ASSERT_TRUE(eventually([&] { return is_gone(read_text(file(task))); }));
  process.signal(SIGCONT);
  const ProcessResult result = process.wait(kDeadline);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("failed (worker 1 failed first: killed by SIGKILL)"));
}

TEST_F(LaunchTest, ASignalThatEndsATaskIsNamed) {
  const ProcessResult result = run({"--workers", "2"}, {"1/die:9", "0/wait-signal", "0/exit:75"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              ContainsRegex("worker 1 \\(pid [0-9]+\\) failed first: killed by SIGKILL"));
}

TEST_F(LaunchTest, TasksThatDoNotEndAreKilledAfterTheGrace) {
  const ProcessResult result = run({"--workers", "2", "--grace", "0.2"},
                                   {"0/ignore:15", "touch:" + file("up{rank}"),
                                    "1/await:" + file("up0"), "1/exit:5", "await:never"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, ContainsRegex("killing worker 0 \\(pid [0-9]+\\)"));
}

TEST_F(LaunchTest, SignalsArePassedOnAndAPreemptedJobExitsAsItsTasksDo) {
  Process process(launch(folder_, {"--workers", "2"},
                         {"touch:" + file("up{rank}"), "wait-signal", "touch:" + file("one{rank}"),
                          "wait-signal", "exit:75"}));
  ASSERT_TRUE(appears(file("up0")) && appears(file("up1")));
  process.signal(SIGUSR1);
  ASSERT_TRUE(appears(file("one0")) && appears(file("one1")));
  process.signal(SIGTERM);
  const ProcessResult result = process.wait(kDeadline);
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_THAT(result.err, HasSubstr("stopped by SIGUSR1: 2 tasks"));
  EXPECT_THAT(result.err, Not(HasSubstr("failed")));
  for (int rank : {0, 1}) {
    EXPECT_THAT(log(rank), AllOf(HasSubstr("caught SIGUSR1\n"), HasSubstr("caught SIGTERM\n")));
  }
}

TEST_F(LaunchTest, AnotherInterruptKillsAtOnce) {
  Process process(launch(folder_, {"--workers", "2"},
                         {"ignore:2", "touch:" + file("up{rank}"), "await:never"}));
  ASSERT_TRUE(appears(file("up0")) && appears(file("up1")));
  process.signal(SIGINT);
  ASSERT_TRUE(process.wait_for_error_output("at once with another Ctrl-C", kDeadline));
  process.signal(SIGINT);
  const ProcessResult result = process.wait(kDeadline);
  EXPECT_EQ(result.exit_code, 130);
}

TEST_F(LaunchTest, NothingIsLeftOfALauncherThatIsKilled) {
  std::vector<std::string> pids;
  {
    Process process(launch(folder_, {"--workers", "2"},
                           {"ignore:15", "ignore:1", "child:" + file("child{rank}"),
                            "touch:" + file("task{rank}"), "await:never"}));
    for (const char* name : {"task0", "task1", "child0", "child1"}) {
      ASSERT_TRUE(appears(file(name)));
      pids.push_back(read_text(file(name)));
      EXPECT_FALSE(is_gone(pids.back()));
    }
    process.signal(SIGKILL);
    EXPECT_EQ(process.wait(kDeadline).exit_code, 128 + SIGKILL);
  }
  for (const std::string& pid : pids) {
    EXPECT_TRUE(eventually([&] { return is_gone(pid); })) << pid;
  }
}

// The kernel sees to the tasks themselves, whatever happened to the guard.
TEST_F(LaunchTest, TasksEndWithTheLauncherEvenWithoutItsGuard) {
  Process process(launch(folder_, {}, {"ignore:15", "touch:" + file("task"), "await:never"}));
  ASSERT_TRUE(appears(file("task")));
  const std::string task = read_text(file("task"));
  std::istringstream stat(read_text("/proc/" + task + "/stat"));
  std::string word, launcher;
  stat >> word >> word >> word >> launcher;  // pid, name, state, parent
  std::string guard;
  ASSERT_TRUE(eventually([&] {  // it names itself
    std::istringstream children(read_text("/proc/" + launcher + "/task/" + launcher + "/children"));
    for (std::string child; children >> child;) {
      if (read_text("/proc/" + child + "/comm") == "trireme-guard\n") guard = child;
    }
    return !guard.empty();
  }));
  kill(std::stoi(guard), SIGKILL);
  ASSERT_TRUE(eventually([&] { return is_gone(guard); }));
  EXPECT_FALSE(is_gone(task));
  process.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return is_gone(task); }));
}

TEST_F(LaunchTest, WhatATaskStartedEndsWithIt) {
  const ProcessResult result = run({"--workers", "2"}, {"1/child:" + file("child")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(eventually([&] { return is_gone(read_text(file("child"))); }));
}

TEST_F(LaunchTest, TasksThatDieAreRestartedAsOftenAsAllowed) {
  // Worker 1 loses a peer, then dies, then succeeds; the others never notice.
  const ProcessResult result =
      run({"--workers", "3", "--max-restarts", "2"},
          {"print:here", "1.0/exit:75", "1.1/die:9", "1/touch:" + file("done"),
           "await:" + file("done"), "environment"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("restarting it (1 of 2)"), HasSubstr("restarting it (2 of 2)"),
                    HasSubstr("done: 3 tasks, 2 restarts")));
  EXPECT_THAT(log(1), ContainsRegex("--- worker 1 started, .*\nhere\n--- worker 1 started again "
                                    "\\(restart 1 of 2\\).*\nhere\n--- worker 1 started again "
                                    "\\(restart 2 of 2\\).*\nhere\n"));
  EXPECT_THAT(log(1), HasSubstr("TRIREME_INCARNATION=2\n"));
  EXPECT_THAT(log(0), HasSubstr("TRIREME_INCARNATION=0\n"));
}

TEST_F(LaunchTest, RestartsEndTheJobWhenTheyAreUsedUp) {
  const ProcessResult result =
      run({"--workers", "2", "--max-restarts", "1"}, {"1/exit:75", "0/wait-signal", "0/exit:1"});
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_THAT(result.err, ContainsRegex("worker 1 .*failed first: exit code 75, after [0-9.]+ s "
                                        "and 1 restart;"));
}

TEST_F(LaunchTest, BadInputIsNotTriedAgain) {
  const ProcessResult result = run({"--max-restarts", "5"}, {"touch:" + file("{rank}"), "exit:2"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, Not(HasSubstr("restarting")));
}

TEST_F(LaunchTest, GoesOnWithFewerWhenThatIsAllowed) {
  Process process(launch(folder_, {"--workers", "3", "--min-workers", "2"},
                         {"1/die:9", "await:" + file("go"), "0/print:finished"}));
  ASSERT_TRUE(process.wait_for_error_output("going on without it (2 left, 2 needed)", kDeadline));
  folder_.write("go", "");
  const ProcessResult ended = process.wait(kDeadline);
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_EQ(ended.out, "finished\n");
  EXPECT_THAT(ended.err, HasSubstr("3 tasks, 0 restarts, 1 lost"));
}

TEST_F(LaunchTest, TasksMeetAtTheCoordinator) {
  const ProcessResult result = run({"--workers", "3"}, {"join"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "joined as 0 of 3\n");
  EXPECT_THAT(log(2), HasSubstr("joined as 2 of 3\n"));
}

// A parameter server never ends by itself; that it is stopped is no failure of the job.
TEST_F(LaunchTest, ServersAreStoppedWhenAllWorkersHaveEnded) {
  const auto task = [&](const std::string& name, const Words& actions) {
    SupervisedTask result{.name = name, .log_path = folder_ / (name + ".log")};
    result.command = {.program = LAUNCHED_PROGRAM, .arguments = {"launched_program"}};
    result.command.arguments.insert(result.command.arguments.end(), actions.begin(), actions.end());
    return result;
  };
  std::vector<std::string> said;
  Supervisor supervisor({.report = [&](const std::string& line) { said.push_back(line); }});
  SupervisedTask server = task("server", {"touch:" + file("serving"), "wait-signal", "exit:75"});
  server.serves = true;
  const JobEnd end = supervisor.run(
      {server, task("one", {"await:" + file("serving"), "exit:0"}), task("two", {"exit:0"})});
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_THAT(read_text(folder_ / "server.log"), HasSubstr("caught SIGTERM"));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("done: 3 tasks"));
}

// Where workers go in step, one that dies after another has finished could only wait in vain.
TEST_F(LaunchTest, AWorkerThatDiesAfterTheEndIsNotRestarted) {
  SupervisedTask done{.name = "done", .log_path = folder_ / "done.log"};
  done.command = {.program = LAUNCHED_PROGRAM, .arguments = {"launched_program"}};
  SupervisedTask late{.name = "late", .log_path = folder_ / "late.log"};
  late.command = {.program = LAUNCHED_PROGRAM,
                  .arguments = {"launched_program", "await:" + file("go"), "die:9"}};
  Supervisor supervisor({.max_restarts = 3, .restart_after_success = false});
  // The launcher has seen the first one's end when what that one started is gone.
  done.command.arguments.push_back("child:" + file("child"));
  std::thread watcher([&] {
    ASSERT_TRUE(appears(file("child")));
    EXPECT_TRUE(eventually([&] { return is_gone(read_text(file("child"))); }));
    folder_.write("go", "");
  });
  const JobEnd end = supervisor.run({late, done});
  watcher.join();
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_EQ(end.restarts, 0);
}

// Whoever stops reading what the launcher prints does not stop the job.
TEST_F(LaunchTest, AReaderThatGoesAwayEndsNothing) {
  Words words = launch(folder_, {}, {"await:" + file("go"), "lines:100000", "print:the end"});
  words.insert(words.begin(), {"/bin/sh", "-c", "\"$@\" | true; touch " + file("ended"), "sh"});
  Process process(words);
  folder_.write("go", "");
  EXPECT_EQ(process.wait(kDeadline).exit_code, 0);
  EXPECT_TRUE(appears(file("ended")));
  EXPECT_THAT(log(0), EndsWith("line 99999\nthe end\n"));
}

TEST_F(LaunchTest, LaunchersOfTwoNodesMakeOneJob) {
  const std::string at = "127.0.0.1:" + std::to_string(testing::free_ports());
  const std::string key = folder_.write("key", "0123456789abcdef\n");
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  const auto node = [&](const char* rank) {
    return launch(folder_,
                  {"--nodes", "2", "--node-rank", rank, "--coordinator", at, "--workers", "2",
                   "--secret-file", key},
                  {"environment", "join"});
  };
  // Node 1 is first: its tasks wait for the coordinator.
  Process second(node("1"));
  ASSERT_TRUE(second.wait_for_error_output("2 of 4 workers here", kDeadline));
  Process first(node("0"));
  const ProcessResult first_result = first.wait(kDeadline), second_result = second.wait(kDeadline);
  EXPECT_EQ(first_result.exit_code, 0) << first_result.err;
  EXPECT_EQ(second_result.exit_code, 0) << second_result.err;
  EXPECT_THAT(first_result.out, EndsWith("joined as 0 of 4\n"));
  EXPECT_EQ(second_result.out, "");
  for (int rank = 0; rank < 4; ++rank) {
    const std::string r = std::to_string(rank);
    EXPECT_THAT(log(rank), AllOf(HasSubstr("TRIREME_RANK=" + r + "\n"),
                                 HasSubstr("TRIREME_LOCAL_RANK=" + std::to_string(rank % 2) + "\n"),
                                 HasSubstr("TRIREME_WORLD_SIZE=4\n"),
                                 HasSubstr("TRIREME_COORDINATOR=" + at + "\n"),
                                 HasSubstr("TRIREME_SECRET=0123456789abcdef\n"),
                                 HasSubstr("joined as " + r + " of 4\n")));
  }
}

TEST_F(LaunchTest, WhatIsWrongIsSaidBeforeAnythingStarts) {
  struct Case {
    Words arguments;
    std::string message;
  };
  const std::string bad_job = folder_.write("bad.textproto", "name: \"x\"\nepochs: many\n");
  const std::string bad_key = folder_.write("bad_key", "two words that are long enough\n");
  const std::string short_key = folder_.write("short_key", "0123456789abcde\n");
  const std::string open_key = folder_.write("open_key", "0123456789abcdef\n");
  for (const std::string& key : {bad_key, short_key}) {
    std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  }
  for (const Case& c : std::vector<Case>{
           {{"--", "no-such-program"}, "program no-such-program is in no folder of PATH"},
           {{"--", "/no/such/program"}, "program /no/such/program does not exist"},
           {{"--", bad_job}, "cannot be executed"},
           {{}, "expected a job file, or -- and a program"},
           {{"no-such.textproto"}, "no-such.textproto"},
           {{bad_job}, "bad.textproto:2:"},
           {{bad_job, "--", "true"}, "one of them runs"},
           {{"--nodes", "2", "--", "true"}, "needs --coordinator HOST:PORT"},
           {{"--nodes", "2", "--coordinator", "127.0.0.1:1", "--", "true"}, "needs a secret"},
           {{"--nodes", "2", "--coordinator", "127.0.0.1:1", "--node-rank", "2", "--", "true"},
            "--node-rank 2: expected 0 to 1"},
           {{"--secret-file", bad_key, "--", "true"}, "a job's secret is one line of 16 to 1024"},
           {{"--secret-file", short_key, "--", "true"}, "found 15"},
           {{"--secret-file", open_key, "--", "true"}, "chmod 600 " + open_key},
           {{"--workers", "2", "--min-workers", "3", "--", "true"}, "has only 2 workers"},
           {{"--workers", "0", "--", "true"}, "--workers"}}) {
    Words words = {kProgram, "launch", "--log-dir", folder_ / "logs"};
    words.insert(words.end(), c.arguments.begin(), c.arguments.end());
    const ProcessResult result = Process(words).wait(kDeadline);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(c.message));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "logs/worker-0.log")) << result.err;
  }
}

TEST_F(LaunchTest, AJobFileIsTrainedWithTheOptionsAfterIt) {
  const std::string job = folder_.write("job.textproto", kSmallJob);
  const ProcessResult result = Process({kProgram, "launch", job, "--threads", "1", "--set",
                                        "epochs=1", "--output-dir", folder_ / "run"})
                                   .wait(kDeadline);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("^\\{\"job\":\"small\".*\"epochs\":1.*\\}\n$"));
  EXPECT_THAT(result.err, HasSubstr("done: 1 task, 0 restarts"));
  EXPECT_THAT(read_text(folder_ / "run/logs/worker-0.log"), HasSubstr("\"job\":\"small\""));
}

TEST_F(LaunchTest, HelpNamesEveryOptionAndShowsExamples) {
  const ProcessResult result = testing::run({kProgram, "launch", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* option :
       {"--workers", "--ps", "--max-restarts", "--min-workers", "--log-dir", "--threads", "--port",
        "--nodes", "--node-rank", "--coordinator", "--grace", "--stall-warning",
        "--collective-timeout", "--no-affinity", "--listen", "--secret-file", "Examples:"}) {
    EXPECT_THAT(result.out, HasSubstr(option));
  }
}

}  // namespace
}  // namespace trireme
