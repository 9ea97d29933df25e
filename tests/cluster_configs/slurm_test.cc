// srun and the batch scripts of cluster_configs/slurm on a real Slurm of two nodes.
//
// Not covered: tasks bound to cores or to GPUs (task/none; the GPUs are names without devices, and
// the workers compute on the CPU), and Slurm's own clock for --signal=TERM@60, which looks twice a
// minute: scancel sends the same signal to the same tasks here.
#include "tests/support/slurm.h"

#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "tests/cluster_configs/small_job.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Looks until `done` or the deadline; false when that comes first.
bool wait_until(const std::function<bool()>& done, std::chrono::seconds deadline) {
  const auto end = Clock::now() + deadline;
  while (!done()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(50ms);
  }
  return true;
}

class SlurmTest : public SmallJob {
 protected:
  static void SetUpTestSuite() {
    if (LocalSlurm::why_not().empty()) slurm_ = new LocalSlurm;
  }
  static void TearDownTestSuite() {
    delete slurm_;
    slurm_ = nullptr;
  }
  void SetUp() override {
    if (slurm_ == nullptr) GTEST_SKIP() << LocalSlurm::why_not();
    SmallJob::SetUp();
  }

  static Words with_slurm() { return environment(slurm_->environment()); }
  static Words command(const std::string& name, const Words& rest) {
    Words words = {LocalSlurm::command(name)};
    words.insert(words.end(), rest.begin(), rest.end());
    return words;
  }
  static ProcessResult ask(const std::string& name, const Words& rest) {
    return Process(command(name, rest), with_slurm()).wait(20s);
  }
  Words srun(const Words& options, const std::string& name, const Words& more = {}) const {
    Words words = command("srun", options);
    words.insert(words.end(), {TRIREME_PROGRAM, "train"});
    const Words rest = job(name, more);
    words.insert(words.end(), rest.begin(), rest.end());
    return words;
  }
  Words sbatch(const Words& options, const std::string& file, const std::string& name,
               const Words& more = {}) const {
    Words words = command("sbatch", {"--parsable", "--output=" + printed()});
    words.insert(words.end(), options.begin(), options.end());
    const Words rest = script("slurm/" + file, {}, name, more);
    words.insert(words.end(), rest.begin(), rest.end());
    return words;
  }
  // For what is not started by a batch script, which draws one.
  static Words with_secret() {
    Words words = with_slurm();
    words.push_back("TRIREME_SECRET=known-to-both-nodes");
    return words;
  }
  std::string printed() const { return folder_ / "printed"; }  // by a batch job
  // The process of the task `rank` of a job; 0: there is none.
  static pid_t task_of(const std::string& job, const std::string& rank) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string environment = '\0' + read_text(entry.path() / "environ");
      const auto has = [&](const std::string& variable) {
        return environment.find('\0' + variable + '\0') != std::string::npos;
      };
      const std::string command = read_text(entry.path() / "comm");
      if (command == "trireme\n" && has("SLURM_JOB_ID=" + job) && has("SLURM_PROCID=" + rank)) {
        return std::stoi(entry.path().filename());
      }
    }
    return 0;
  }

  // Long enough to be interrupted.
  const Words long_ = {"--set", "epochs=100"};

  static LocalSlurm* slurm_;
};

LocalSlurm* SlurmTest::slurm_ = nullptr;

TEST_F(SlurmTest, SrunStartsFourWorkersOnTwoNodes) {
  const auto result = Process(srun({"-N2", "-n4"}, "out"), with_secret()).wait(60s);
  expect_trained(result, "out", 4);
  EXPECT_THAT(result.err, HasSubstr("host n1"));
  EXPECT_THAT(result.err, HasSubstr("host n2"));
}

// Two nodes reach each other over a network that others may reach, too.
TEST_F(SlurmTest, BetweenNodesNoTaskStartsWithoutASecret) {
  const auto result = Process(srun({"-N2", "-n2"}, "out"), with_slurm()).wait(60s);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("export TRIREME_SECRET=$(openssl rand -hex 32)"));
}

TEST_F(SlurmTest, TheBatchScriptForCpuNodes) {
  const auto result = Process(sbatch({"--wait"}, "cpu.sbatch", "out"), with_slurm()).wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err << read_text(printed());
  EXPECT_THAT(read_text(printed()), HasSubstr("\"workers\":4"));
  expect_losses_of_one_process("out");
}

TEST_F(SlurmTest, TheBatchScriptWithParameterServers) {
  Words more = kServed;
  more.insert(more.end(), {"--ps", "2"});
  const auto result =
      Process(sbatch({"--wait"}, "cpu.sbatch", "out", more), with_slurm()).wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err << read_text(printed());
  EXPECT_THAT(read_text(printed()), HasSubstr("\"workers\":2"));
  expect_losses_of_one_process("out");
}

TEST_F(SlurmTest, AFailedTrainingFailsItsBatchJob) {
  for (const char* file : {"cpu.sbatch", "gpu.sbatch"}) {
    const Words options = {"--wait", "--ntasks-per-node=1", "--cpus-per-task=1"};
    const auto result =
        Process(sbatch(options, file, "out", {"--set", "no_such_field=1"}), with_slurm()).wait(60s);
    EXPECT_EQ(result.exit_code, 2) << file << result.err << read_text(printed());
  }
}

// As it stands: 4 GPUs and 4 tasks with 8 cores each on both nodes.
TEST_F(SlurmTest, SlurmTakesTheBatchScriptForGpuNodes) {
  const auto result =
      ask("sbatch", {"--test-only", kScripts + "slurm/gpu.sbatch", "job.textproto"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("64 processors on nodes n[1-2]"));
}

// Preemption: the step is finished and saved, and what comes later goes on as if nothing had been,
// to the last digit of every epoch. Once by hand, once by the script that puts itself back into
// the queue.
TEST_F(SlurmTest, WhoIsPreemptedGoesOnLater) {
  const Words one_each = {"-N2", "-n2", "--job-name=preempted"};
  const auto calm = Process(srun(one_each, "calm", long_), with_secret()).wait(60s);
  ASSERT_EQ(calm.exit_code, 0) << calm.err;

  Process job(srun(one_each, "srun", long_), with_secret());
  ASSERT_TRUE(job.wait_for_error_output("Epoch 3/", 60s));
  ask("scancel", {"--signal=TERM", "--name=preempted"});
  const ProcessResult stopped = job.wait(30s);
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("go on with --resume"));

  Words resume = long_;
  resume.push_back("--resume");
  const auto resumed = Process(srun(one_each, "srun", resume), with_secret()).wait(60s);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(log("srun"), log("calm"));

  const auto submitted =
      Process(sbatch({"--ntasks-per-node=1", "--cpus-per-task=1"}, "gpu.sbatch", "requeued", long_),
              with_slurm())
          .wait(20s);
  ASSERT_EQ(submitted.exit_code, 0) << submitted.err;
  const std::string id = submitted.out.substr(0, submitted.out.find('\n'));
  const auto begun = [&] { return read_text(printed()).find("Epoch 3/") != std::string::npos; };
  ASSERT_TRUE(wait_until(begun, 60s)) << read_text(printed());
  ask("scancel", {"--signal=TERM", id});
  std::string state;
  EXPECT_TRUE(wait_until(
      [&] {
        state = ask("scontrol", {"show", "job", id}).out;
        return state.find("JobState=COMPLETED") != std::string::npos;
      },
      120s))
      << state << read_text(printed());
  EXPECT_THAT(state, HasSubstr("Restarts=1"));
  EXPECT_EQ(log("requeued"), log("calm"));
}

// What srun returns for a task that died of a signal is no 75: the survivor has saved, and the
// script goes back to the queue. And Slurm may signal the shell of the batch job instead of its
// tasks.
TEST_F(SlurmTest, TheBatchScriptsGoBackToTheQueueOnWhatSrunReturns) {
  Words set = long_;
  set.insert(set.end(), {"--set", "distributed.join_timeout_s=3"});
  const Words one_each = {"--ntasks-per-node=1", "--cpus-per-task=1"};
  const auto calm = Process(srun({"-N2", "-n2"}, "calm", set), with_secret()).wait(60s);
  ASSERT_EQ(calm.exit_code, 0) << calm.err;
  for (const std::string file : {"cpu.sbatch", "gpu.sbatch"}) {
    std::filesystem::remove(printed());
    const auto submitted = Process(sbatch(one_each, file, file, set), with_slurm()).wait(20s);
    ASSERT_EQ(submitted.exit_code, 0) << submitted.err;
    const std::string id = submitted.out.substr(0, submitted.out.find('\n'));
    const auto begun = [&] { return read_text(printed()).find("Epoch 3/") != std::string::npos; };
    ASSERT_TRUE(wait_until(begun, 60s)) << read_text(printed());
    if (file == "cpu.sbatch") {
      kill(task_of(id, "1"), SIGKILL);
    } else {
      ask("scancel", {"--batch", "--signal=USR1", id});
    }
    std::string state;
    EXPECT_TRUE(wait_until(
        [&] {
          state = ask("scontrol", {"show", "job", id}).out;
          return state.find("JobState=COMPLETED") != std::string::npos;
        },
        120s))
        << state << read_text(printed());
    EXPECT_THAT(state, HasSubstr("Restarts=1"));
    EXPECT_EQ(log(file), log("calm")) << file;
  }
}

// Jobs, too, end with their Slurm.
TEST_F(SlurmTest, NothingOutlivesTheSlurmOfATest) {
  auto slurm = std::make_unique<LocalSlurm>();
  const std::string conf = slurm->environment().front();
  const auto count = [&] {
    int found = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      found += read_text(entry.path() / "environ").find(conf) != std::string::npos;
    }
    return found;
  };
  Process(command("sbatch", {"-N2", "--output=/dev/null", "--wrap=srun sleep 1000"}), {conf})
      .wait(20s);
  EXPECT_TRUE(wait_until([&] { return count() >= 4; }, 20s));
  slurm.reset();
  EXPECT_EQ(count(), 0);
}

}  // namespace
}  // namespace trireme::testing
