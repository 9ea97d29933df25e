// Where a command's results go: the folder that one job has to itself, files that appear whole, and
// standard output that fails.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/launcher/output_case.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::files_in;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::trireme_run;
using testing::wait_until;
using testing::Words;

class OutputTest : public testing::OutputCase {};

// A forgotten --resume cost the log at once, and the checkpoints within a few epochs.
TEST_F(OutputTest, ANewTrainingDoesNotReplaceAnEarlierOne) {
  trained("run");
  const std::string log = read_log(out("run") + "/log.csv");
  const auto checkpoints = files_in(out("run") + "/checkpoints");
  for (const Words& command :
       {words("run"), Words{"launch", "--workers", "2", job_, "--output-dir", out("run")}}) {
    const ProcessResult refused = trireme_run(command);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("step 20"), HasSubstr("--resume"),
                                   HasSubstr("--output-dir"), HasSubstr("--overwrite")));
    EXPECT_EQ(read_log(out("run") + "/log.csv"), log);
    EXPECT_EQ(files_in(out("run") + "/checkpoints"), checkpoints);
    EXPECT_THAT(files_in(out("run")), ::testing::ElementsAre("checkpoints", "log.csv"));
  }
}

// --overwrite is no rm -r.
TEST_F(OutputTest, OverwriteRemovesWhatTriremeWrote) {
  trained("run", {"--set", "epochs=3"});
  const Words own = {"notes.txt", "checkpoints/export.npz", "checkpoints/ckpt-best-of-mine.index",
                     "checkpoints/rows/README"};
  fs::create_directories(out("run") + "/checkpoints/rows");
  for (const std::string& name : own) std::ofstream(out("run") + "/" + name) << "mine";
  std::ofstream(out("run") + "/checkpoints/rows/ckpt-30.ps") << "rows";
  trained("run", {"--overwrite", "--set", "epochs=1"});
  for (const std::string& name : own) EXPECT_EQ(read_text(out("run") + "/" + name), "mine");
  EXPECT_THAT(files_in(out("run") + "/checkpoints"),
              ::testing::ElementsAre("checkpoint", "ckpt-10.data-00000-of-00001", "ckpt-10.index",
                                     "ckpt-best-of-mine.index", "export.npz", "rows"));
  EXPECT_THAT(files_in(out("run") + "/checkpoints/rows"), ::testing::ElementsAre("README"));
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole_log(1));
}

// Two jobs in one folder lost each other's log and checkpoints.
TEST_F(OutputTest, OneJobHasTheFolderUntilItEnds) {
  const auto first = endless("run");
  for (const Words& more : {Words{"--overwrite"}, Words{"--resume"}}) {
    const ProcessResult second = train("run", more);
    EXPECT_EQ(second.exit_code, 2);
    EXPECT_THAT(second.err, AllOf(HasSubstr("another training writes to this folder"),
                                  HasSubstr("process " + std::to_string(first->pid()) + " on host"),
                                  HasSubstr("since 20")));
  }
  first->signal(SIGKILL);
  first->wait();
  // Its lock is there, and nobody holds it.
  EXPECT_TRUE(fs::exists(out("run") + "/.trireme.lock"));
  const ProcessResult third = train("run", {"--overwrite"});
  EXPECT_EQ(third.exit_code, 0) << third.err;
  EXPECT_THAT(third.err, HasSubstr("took over the lock"));
  EXPECT_FALSE(fs::exists(out("run") + "/.trireme.lock"));
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole_log(2));
}

// While a worker is started again nobody of the job but its launcher is there.
TEST_F(OutputTest, ALauncherHoldsTheFolderForItsWorkers) {
  Process launcher({kProgram, "launch", "--workers", "2", "--max-restarts", "3", job_,
                    "--output-dir", out("run"), "--set", "epochs=1000000"});
  ASSERT_TRUE(wait_until([&] { return fs::exists(out("run") + "/checkpoints/checkpoint"); }));
  const std::string lock = read_text(out("run") + "/.trireme.lock");
  EXPECT_THAT(lock, HasSubstr("pid=" + std::to_string(launcher.pid())));
  const auto tasks = testing::tasks_of(launcher.pid());
  ASSERT_TRUE(tasks.contains(0));
  kill(tasks.at(0), SIGKILL);
  ASSERT_TRUE(launcher.wait_for_error_output("generation 2", 60s));
  EXPECT_EQ(train("run", {"--resume"}).exit_code, 2);
  EXPECT_EQ(read_text(out("run") + "/.trireme.lock"), lock);
  launcher.signal(SIGTERM);
  EXPECT_EQ(launcher.wait(60s).exit_code, 75);
  EXPECT_FALSE(fs::exists(out("run") + "/.trireme.lock"));
}

// Ctrl-C during a long write left half a file over the old one.
TEST_F(OutputTest, AnInterruptedGenerateLeavesTheOldFile) {
  const std::string folder = folder_ / "made";
  fs::create_directories(folder);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::ofstream(folder + "/clicks.tsv") << "old";
    Process process({kProgram, "generate", "clicks", "--examples", "1000000000", "--out",
                     folder + "/clicks.tsv"});
    ASSERT_TRUE(wait_until([&] { return files_in(folder).size() == 2; }));
    process.signal(signal);
    EXPECT_EQ(process.wait(60s).exit_code, 128 + signal);
    EXPECT_THAT(files_in(folder), ::testing::ElementsAre("clicks.tsv"));
    EXPECT_EQ(read_text(folder + "/clicks.tsv"), "old");
  }
}

// Whoever may write to the folder could let an output go into another file.
TEST_F(OutputTest, LinksOfOutputsLeadNowhere) {
  const std::string target = folder_.write("target", "untouched\n");
  const std::string run = out("run");
  fs::create_directories(run + "/logs");
  fs::create_symlink(target, run + "/log.csv");
  fs::create_symlink(target, folder_ / "a.graph");
  fs::create_symlink(target, folder_ / "c.tsv");
  trained("run", {"--overwrite", "--save-graph", folder_ / "a.graph"});
  EXPECT_EQ(
      trireme_run({"generate", "clicks", "--examples", "10", "--out", folder_ / "c.tsv"}).exit_code,
      0);
  for (const std::string& path : {run + "/log.csv", folder_ / "a.graph", folder_ / "c.tsv"}) {
    EXPECT_FALSE(fs::is_symlink(path)) << path;
  }
  // A log is appended to, so it can only refuse.
  fs::create_symlink(target, run + "/logs/worker-0.log");
  const ProcessResult launched =
      trireme_run({"launch", "--workers", "1", job_, "--output-dir", run, "--overwrite"});
  EXPECT_EQ(launched.exit_code, 2);
  EXPECT_THAT(launched.err, HasSubstr("worker-0.log: a log does not follow a symbolic link"));
  EXPECT_EQ(read_text(target), "untouched\n");
}

// A pipeline that checks exit codes took what was lost for what was done.
TEST_F(OutputTest, StandardOutputThatFailsIsAnError) {
  trained("run");
  const std::string checkpoints = out("run") + "/checkpoints";
  int number = 0;
  const Words commands[] = {
      {"--help"},
      {"--version"},
      {"--help-all"},
      {"train", "--help"},
      {"evaluate", job_, "--checkpoint", checkpoints},
      {"predict", job_, "--checkpoint", checkpoints},
      {"inspect", checkpoints},
      {"devices"},
      {"cluster"},
      {"generate", "clicks", "--examples", "5", "--out", folder_ / "made.tsv"},
      {"generate", "clicks", "--examples", "5", "--out", "/dev/stdout"},
      {"bench", "ops", "--filter", "matmul", "--repetitions", "1"},
      words("full"),
      {"launch", "--workers", "1", job_, "--quiet", "--output-dir", out("launched")}};
  for (Words command : commands) {
    for (const std::string where : {"> /dev/full", ">&-"}) {
      Words all = {"/bin/sh", "-c", "exec \"$0\" \"$@\" " + where, kProgram};
      Words given = command;
      if (given[0] == "train" || given[0] == "launch") given.push_back("--set=epochs=1");
      if (given.back() == "--set=epochs=1" && given[1] == "--help") given.pop_back();
      // Each in a folder of its own.
      const auto dir = std::ranges::find(given, "--output-dir");
      if (dir != given.end()) dir[1] += std::to_string(number++);
      all.insert(all.end(), given.begin(), given.end());
      const ProcessResult result = testing::run(all, {"OMP_NUM_THREADS=1"});
      EXPECT_EQ(result.exit_code, 1) << given[0] << " " << given.back() << " " << where;
      EXPECT_THAT(result.err, AnyOf(HasSubstr("standard output cannot be written"),
                                    HasSubstr("/dev/stdout: cannot")))
          << given[0] << " " << where;
    }
  }
}

// `| head` is no failure to complain about.
TEST_F(OutputTest, AReaderThatGoesAwayEndsTheCommandQuietly) {
  int out[2], err[2];
  ASSERT_EQ(pipe(out), 0);
  ASSERT_EQ(pipe(err), 0);
  close(out[0]);
  const pid_t child = fork();
  if (child == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    execl(kProgram.c_str(), "trireme", "--help-all", nullptr);
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) << status;
  char byte;
  EXPECT_EQ(read(err[0], &byte, 1), 0) << "something was said";
  close(err[0]);
}

// `train … 2>&1 | head` would cost the epochs since the last checkpoint.
TEST_F(OutputTest, ATrainingOutlivesTheReaderOfItsProgress) {
  const ProcessResult result = testing::run(
      {"/bin/sh", "-c", "\"$0\" train \"$1\" --output-dir \"$2\" 2>&1 >/dev/null | true", kProgram,
       job_, out("run")});
  EXPECT_EQ(result.exit_code, 0);
  ASSERT_TRUE(wait_until([&] {
    return !fs::exists(out("run") + "/.trireme.lock") &&
           fs::exists(out("run") + "/checkpoints/ckpt-20.index");
  }));
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole_log(2));
}

}  // namespace
}  // namespace trireme
