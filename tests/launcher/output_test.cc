// Where a command's results go: the folder that one job has to itself, files that appear whole,
// standard output that fails, and --resume.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kSmallJob;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::trireme_run;
using Words = std::vector<std::string>;

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

template <typename Condition>
bool wait_until(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class OutputTest : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("small.textproto", kSmallJob); }

  std::string out(const std::string& name) const { return folder_ / name; }
  Words words(const std::string& name, const Words& more = {}) const {
    Words all = {"train", job_, "--quiet", "--threads", "1", "--output-dir", out(name)};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProcessResult train(const std::string& name, const Words& more = {}) const {
    return trireme_run(words(name, more));
  }
  void trained(const std::string& name, const Words& more = {}) const {
    const ProcessResult result = train(name, more);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  // A training that goes on until it is stopped, and has saved a checkpoint.
  std::unique_ptr<Process> endless(const std::string& name) const {
    Words all = words(name, {"--set", "epochs=1000000"});
    all.insert(all.begin(), kProgram);
    auto process = std::make_unique<Process>(all);
    EXPECT_TRUE(wait_until([&] { return fs::exists(out(name) + "/checkpoints/checkpoint"); }));
    return process;
  }
  // One bit of the data of a checkpoint.
  void flip_bit(const std::string& name, int step) const {
    const std::string path =
        out(name) + "/checkpoints/ckpt-" + std::to_string(step) + ".data-00000-of-00001";
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(5000);
    const char byte = static_cast<char>(file.get() ^ 4);
    file.seekp(5000);
    file.put(byte);
    ASSERT_TRUE(file.good());
  }
  // Of a training that nothing disturbed.
  std::string whole_log(int epochs) const {
    const std::string name = "whole-" + std::to_string(epochs);
    trained(name, {"--set", "epochs=" + std::to_string(epochs)});
    return read_text(out(name) + "/log.csv");
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// A forgotten --resume cost the log at once, and the checkpoints within a few epochs.
TEST_F(OutputTest, ANewTrainingDoesNotReplaceAnEarlierOne) {
  trained("run");
  const std::string log = read_text(out("run") + "/log.csv");
  const auto checkpoints = files_in(out("run") + "/checkpoints");
  for (const Words& command :
       {words("run"), Words{"launch", "--workers", "2", job_, "--output-dir", out("run")}}) {
    const ProcessResult refused = trireme_run(command);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("step 20"), HasSubstr("--resume"),
                                   HasSubstr("--output-dir"), HasSubstr("--overwrite")));
    EXPECT_EQ(read_text(out("run") + "/log.csv"), log);
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
  EXPECT_EQ(read_text(out("run") + "/log.csv"), whole_log(1));
}

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
  EXPECT_EQ(read_text(out("run") + "/log.csv"), whole_log(2));
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

// Days of work are in the checkpoint before.
TEST_F(OutputTest, ADamagedCheckpointIsLeftOut) {
  trained("run");
  flip_bit("run", 20);
  const ProcessResult resumed = train("run", {"--resume", "--set", "epochs=3"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err,
              AllOf(HasSubstr("ckpt-20.data-00000-of-00001"), HasSubstr("checksum"),
                    HasSubstr("going on from " + out("run") + "/checkpoints/ckpt-10")));
  EXPECT_EQ(occurrences(resumed.err, "damaged"), 1) << resumed.err;
  EXPECT_EQ(read_text(out("run") + "/log.csv"), whole_log(3));
}

TEST_F(OutputTest, WithNoWholeCheckpointTheErrorNamesAll) {
  trained("run");
  flip_bit("run", 10);
  flip_bit("run", 20);
  const ProcessResult resumed = train("run", {"--resume", "--set", "epochs=3"});
  EXPECT_EQ(resumed.exit_code, 1);
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("ckpt-10"), HasSubstr("ckpt-20")));
}

TEST_F(OutputTest, ResumeTakesAStepOrAPath) {
  trained("run", {"--set", "epochs=3"});
  const std::string whole = whole_log(4);
  trained("run", {"--resume", "10", "--set", "epochs=4"});
  EXPECT_EQ(read_text(out("run") + "/log.csv"), whole);
  // Of another run: a new one in its own folder.
  const Words path = {"--resume=" + out("run") + "/checkpoints/ckpt-20.index", "--set", "epochs=4"};
  trained("other", path);
  EXPECT_EQ(read_text(out("other") + "/log.csv"), whole);
  const ProcessResult again = train("other", path);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("--overwrite"));
}

TEST_F(OutputTest, AStepThatIsNotThereIsAnErrorThatListsThoseThatAre) {
  trained("run");
  for (const std::string& missing : {std::string("15"), out("run") + "/none"}) {
    const ProcessResult result = train("run", {"--resume", missing});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, AllOf(HasSubstr("--resume " + missing), HasSubstr("10, 20")));
  }
  EXPECT_EQ(train("empty", {"--resume", "5"}).exit_code, 2);
}

// The job file may stand behind it, as batch scripts have it.
TEST_F(OutputTest, ResumeTakesNoJobFileForItsValue) {
  trained("run");
  const ProcessResult result =
      trireme_run({"train", "--resume", job_, "--quiet", "--output-dir", out("run")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("nothing is left to train"));
}

// What a checkpoint means depends on these: going on would be silently another training.
TEST_F(OutputTest, ResumeRefusesWhatCannotGoOn) {
  trained("run");
  const struct {
    std::string set;
    Words said;
  } cases[] = {{"batch_size=32", {"batch_size: 64 → 32", "order of other batches"}},
               {"seed=7", {"seed: 1 → 7"}},
               {"data.take=320", {"data.take: 640 → 320"}},
               {"optimizer.sgd=momentum: 0.9", {"optimizer.kind: adam → sgd"}}};
  for (const auto& test : cases) {
    const ProcessResult result = train("run", {"--resume", "--set", "epochs=3", "--set", test.set});
    EXPECT_EQ(result.exit_code, 2) << test.set << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("cannot go on"), HasSubstr("--output-dir"),
                                  Not(HasSubstr("pipeline"))));
    for (const std::string& words : test.said) EXPECT_THAT(result.err, HasSubstr(words));
  }
  std::string without = kSmallJob;
  without.erase(without.find("metrics: ACCURACY\n"), 18);
  const ProcessResult metrics = trireme_run(
      {"train", folder_.write("small.textproto", without), "--resume", "--output-dir", out("run")});
  EXPECT_EQ(metrics.exit_code, 2);
  EXPECT_THAT(metrics.err, HasSubstr("metrics: ACCURACY → none"));
  // Refused before anything was written.
  folder_.write("small.textproto", kSmallJob);
  EXPECT_EQ(read_text(out("run") + "/log.csv"), whole_log(2));
}

TEST_F(OutputTest, ResumeSaysWhatIsDifferent) {
  trained("run");
  const struct {
    Words sets;
    std::string said;
  } cases[] = {
      {{"optimizer.learning_rate=0.01"}, "optimizer.learning_rate: 0.001 → 0.01"},
      {{"optimizer.adam.beta1=0.8"}, "optimizer.adam.beta1: 0 → 0.8"},
      {{"precision=bf16"}, "precision: \"float32\" → \"mixed_bfloat16\""},
      {{"distributed.micro_batches=2"}, "distributed.micro_batches: 0 → 2"},
      {{"model.layers[2].dropout.rate=0.5"}, "model.layers[2].dropout.rate: 0.2 → 0.5"},
      {{"data.validation_take=100"}, "data.validation_take: 200 → 100"},
  };
  for (const auto& test : cases) {
    Words more = {"--resume", "20", "--set", "epochs=3"};
    for (const std::string& set : test.sets) more.insert(more.end(), {"--set", set});
    const ProcessResult result = train("run", more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr(test.said));
  }
  // Nothing but the epochs is different, as it is meant.
  const ProcessResult same = train("run", {"--resume", "20", "--set", "epochs=3"});
  EXPECT_THAT(same.err, Not(HasSubstr("--resume")));
}

// It stayed at 0 without a word.
TEST_F(OutputTest, AScheduleThatEndsTooEarlyIsSaid) {
  const Words cosine = {"--set", "optimizer.schedule.cosine.steps=20"};
  const ProcessResult fits = train("run", cosine);
  EXPECT_THAT(fits.err, Not(HasSubstr("schedule")));
  const ProcessResult ended = train(
      "run", {"--resume", "--set", "epochs=4", "--set", "optimizer.schedule.cosine.steps=20"});
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(ended.err, AllOf(HasSubstr("the cosine schedule ends at step 20 of 40"),
                               HasSubstr("nothing is learned")));
  // One over the whole run is stretched: 0.001 · (1 + cos(π · 20 / 40)) / 2.
  trained("all", {"--set", "optimizer.schedule.cosine.steps=0"});
  const ProcessResult stretched =
      train("all", {"--resume", "--set", "epochs=4", "--set", "optimizer.schedule.cosine.steps=0"});
  EXPECT_THAT(stretched.err, HasSubstr("the learning rate of step 21 is 0.0005"));
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

}  // namespace
}  // namespace trireme
