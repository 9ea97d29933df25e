// `trireme train` as several workers, with real processes: the same job from every way of starting
// it, the losses of one process, and what happens when workers die, hang, or do not belong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AnyOf;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kWorkersJob;
using ::testing::Not;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

class WorkersTest : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("workers.textproto", kWorkersJob); }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return read_log(out(name) + "/log.csv"); }

  Words train(const std::string& name, const Words& more = {}) const {
    Words words = {kProgram, "train", job_, "--threads", "1", "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words launch(const std::string& name, int workers, const Words& options = {},
               const Words& more = {}) const {
    Words words = {kProgram, "launch", "--workers", std::to_string(workers)};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {job_, "--threads", "1", "--output-dir", out(name)});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Words mpirun(int workers, const std::string& name, const Words& more) const {
    Words words = {TRIREME_MPIRUN, "--allow-run-as-root", "--oversubscribe", "-np",
                   std::to_string(workers)};
    const Words program = train(name, more);
    words.insert(words.end(), program.begin(), program.end());
    return words;
  }
  // The log of one process, which all others follow.
  const std::string& alone() {
    if (alone_.empty()) {
      const ProcessResult result = Process(train("alone")).wait(60s);
      EXPECT_EQ(result.exit_code, 0) << result.err;
      alone_ = log("alone");
    }
    return alone_;
  }

  TemporaryDirectory folder_;
  std::string job_, alone_;
};

TEST_F(WorkersTest, TheLauncherStartsThem) {
  for (int workers : {1, 2, 3}) {
    const std::string name = "launch" + std::to_string(workers);
    const ProcessResult result = Process(launch(name, workers)).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\"workers\":" + std::to_string(workers)));
    expect_close(log(name), alone());
  }
}

// Penalties, a clipped gradient, averages of the weights, a frozen layer, and a learning rate that
// follows from the figures of all: each is worked out by all workers alike. And `evaluate` uses the
// averages that the last validation used.
TEST_F(WorkersTest, WhatIsBesideTheUpdatesFollowsOneProcess) {
  job_ = folder_.write("beside.textproto", R"(name: "beside"
data { digits {} take: 640 validation_take: 100 }
model {
  layers { flatten {} }
  layers { name: "fixed" dense { units: 32 activation: RELU } trainable: false }
  layers {
    dense { units: 16 kernel_regularizer { l2 { strength: 0.01 } } activity_regularizer { l1 {} }
            kernel_constraint { max_norm { max_value: 0.7 } } }
  }
  layers { name: "logits" dense { units: 10 } }
}
freeze: "logits/bias"
optimizer {
  adamw { weight_decay: 0.1 } decay: KERNELS learning_rate: 0.01
  global_clipnorm: 0.5 use_ema: true ema_momentum: 0.9
}
callbacks { reduce_lr_on_plateau { monitor: "loss" patience: 1 min_delta: 100 factor: 0.5 } }
callbacks { log_learning_rate {} }
callbacks { log_gradient_norm {} }
metrics: ACCURACY
epochs: 3
batch_size: 64
)");
  const ProcessResult one = Process(train("one")).wait(60s);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  const ProcessResult two = Process(launch("two", 2)).wait(60s);
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_THAT(log("one"), HasSubstr("val_accuracy,learning_rate,gradient_norm\n"));
  const std::vector<double> found = numbers(log("two")), expected = numbers(log("one"));
  ASSERT_EQ(found.size(), 3u * 7);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 1e-3 * std::abs(expected[i]) + 1e-6) << "number " << i;
  }
  EXPECT_EQ(expected[5], 0.01);
  EXPECT_EQ(expected[7 + 5], 0.01);
  EXPECT_EQ(expected[14 + 5], 0.005);
  const ProcessResult evaluated =
      Process({kProgram, "evaluate", job_, "--checkpoint", out("two") + "/checkpoints"}).wait(60s);
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
  const auto line = nlohmann::json::parse(evaluated.out);
  EXPECT_NEAR(line.value("val_loss", 0.), found[14 + 3], 1e-5 * found[14 + 3]);
}

TEST_F(WorkersTest, AFreezeThatMatchesNothingSaysWhereItStands) {
  job_ = folder_.write("typo.textproto", kWorkersJob + "freeze: 'logits'\nfreeze: 'encodr'\n");
  const ProcessResult result = Process(train("typo")).wait(60s);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("typo.textproto:15:"));
  EXPECT_THAT(result.err, HasSubstr("freeze: expected the name of a layer or a variable"));
}

// It holds ops that a program which trains alone never makes.
TEST_F(WorkersTest, TheirGraphCanBeInspected) {
  const ProcessResult result =
      Process(launch("graph", 2, {}, {"--set", "epochs=1", "--save-graph", out("two.graph")}))
          .wait(60s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ProcessResult shown = Process({kProgram, "inspect", out("two.graph")}).wait(60s);
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("AllReduce"));
}

TEST_F(WorkersTest, TfConfigStartsThem) {
  const int port = testing::free_ports(2);
  const std::string first = "127.0.0.1:" + std::to_string(port),
                    second = "127.0.0.1:" + std::to_string(port + 1);
  const auto config = [&](int index) {
    return "TF_CONFIG={\"cluster\": {\"worker\": [\"" + first + "\", \"" + second +
           "\"]}, \"task\": {\"type\": \"worker\", \"index\": " + std::to_string(index) + "}}";
  };
  Process one(train("tf_config"), {config(1)});
  const ProcessResult zero = Process(train("tf_config"), {config(0)}).wait(60s);
  EXPECT_EQ(zero.exit_code, 0) << zero.err;
  const ProcessResult other = one.wait(10s);
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(other.out, "") << "rank 0 alone tells the result";
  expect_close(log("tf_config"), alone());
}

TEST_F(WorkersTest, TorchrunsVariablesStartThem) {
  const std::string port = std::to_string(testing::free_ports());
  const auto variables = [&](const std::string& rank) {
    return Words{"RANK=" + rank,       "WORLD_SIZE=2",          "LOCAL_RANK=" + rank,
                 "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port};
  };
  Process one(train("torchrun"), variables("1"));
  const ProcessResult zero = Process(train("torchrun"), variables("0")).wait(60s);
  EXPECT_EQ(zero.exit_code, 0) << zero.err;
  EXPECT_EQ(one.wait(10s).exit_code, 0);
  expect_close(log("torchrun"), alone());
}

// torchrun starts all workers again when one has failed, rank 0 and with it the coordinator
// included.
TEST_F(WorkersTest, WhatTorchrunStartsAgainGoesOn) {
  const std::string port = std::to_string(testing::free_ports());
  const auto start = [&](const std::string& rank, const std::string& restarts,
                         const std::string& epochs) {
    return std::make_unique<Process>(
        train("again", {"--set", "epochs=" + epochs}),
        Words{"RANK=" + rank, "WORLD_SIZE=2", "LOCAL_RANK=" + rank, "LOCAL_WORLD_SIZE=2",
              "MASTER_ADDR=127.0.0.1", "MASTER_PORT=" + port, "TORCHELASTIC_RUN_ID=none",
              "TORCHELASTIC_RESTART_COUNT=" + restarts});
  };
  auto zero = start("0", "0", "3000"), one = start("1", "0", "3000");
  ASSERT_TRUE(zero->wait_for_error_output("Epoch 3/", 60s));
  for (Process* worker : {zero.get(), one.get()}) {
    worker->signal(SIGKILL);
    worker->wait(10s);
  }
  const size_t before = numbers(log("again")).size() / 5;
  ASSERT_GE(before, 2u);
  const std::string epochs = std::to_string(before + 2);
  zero = start("0", "1", epochs), one = start("1", "1", epochs);
  const ProcessResult result = zero->wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(one->wait(10s).exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("going on from " + out("again") + "/checkpoints/ckpt-"));
  EXPECT_EQ(numbers(log("again")).size() / 5, before + 2);
}

// What the batch scripts do: the same command at each start of a Slurm job, and in the folder of
// another one. (A process that only has the job's number is one task by itself.)
TEST_F(WorkersTest, ARequeuedSlurmJobGoesOnFromItsOwnCheckpointsOnly) {
  const auto start = [&](const std::string& job, const Words& more) {
    Words words = train("queue", {"--resume=auto"});
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<Process>(words, Words{"SLURM_JOB_ID=" + job});
  };
  auto first = start("17", {"--set", "epochs=5000"});
  ASSERT_TRUE(first->wait_for_error_output("Epoch 3/", 60s));
  first->signal(SIGTERM);
  const ProcessResult stopped = first->wait(30s);
  ASSERT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, Not(HasSubstr("going on from")));
  const size_t epochs = numbers(log("queue")).size() / 5 + 3;
  const Words set = {"--set", "epochs=" + std::to_string(epochs)};
  const ProcessResult requeued = start("17", set)->wait(60s);
  EXPECT_EQ(requeued.exit_code, 0) << requeued.err;
  EXPECT_THAT(requeued.err, HasSubstr("going on from " + out("queue") + "/checkpoints/ckpt-"));
  EXPECT_EQ(numbers(log("queue")).size() / 5, epochs);
  const std::string finished = log("queue");
  const ProcessResult other = start("18", set)->wait(60s);
  EXPECT_EQ(other.exit_code, 2) << other.out;
  EXPECT_THAT(other.err, HasSubstr("holds an earlier training"));
  EXPECT_EQ(log("queue"), finished);
}

// One worker has no coordinator to tell it which checkpoints are its launch's.
TEST_F(WorkersTest, AWorkerAloneGoesOnWhenItIsStartedAgain) {
  const Words set = {"--set", "epochs=60"};
  ASSERT_EQ(Process(launch("calm", 1, {}, set)).wait(60s).exit_code, 0);
  Process job(launch("hit", 1, {"--max-restarts", "1"}, set));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 20/", 60s));
  kill(tasks_of(job.pid()).at(0), SIGKILL);
  const ProcessResult result = job.wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("going on from " + out("hit") + "/checkpoints/ckpt-"));
  EXPECT_EQ(log("hit"), log("calm"));
}

TEST_F(WorkersTest, MpirunStartsThem) {
  for (const char* backend : {"auto", "mpi"}) {
    const Words words =
        mpirun(2, backend, {"--set", std::string("distributed.backend=") + backend});
    // Open MPI keeps what MPI_Init made, and a sanitizer of leaks would report that.
    const ProcessResult result = Process(words, {"ASAN_OPTIONS=detect_leaks=0"}).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << backend << ": " << result.err;
    EXPECT_THAT(result.out, HasSubstr("\"workers\":2"));
    expect_close(log(backend), alone());
  }
}

// Epochs of one step, so that the log has each step's loss.
TEST_F(WorkersTest, EveryBackendFollowsOneProcessStepByStep) {
  const Words set = {"--set", "steps_per_epoch=1",  "--set", "epochs=100",
                     "--set", "checkpoint.off=true"};
  ASSERT_EQ(Process(train("steps", set)).wait(60s).exit_code, 0);
  ASSERT_EQ(numbers(log("steps")).size(), 500u);
  for (const std::string backend : {"shm", "grpc", "shm+grpc", "mpi"}) {
    Words more = set;
    more.insert(more.end(), {"--set", "distributed.backend=" + backend});
    const ProcessResult result =
        (backend == "mpi" ? Process(mpirun(3, backend, more), {"ASAN_OPTIONS=detect_leaks=0"})
                          : Process(launch(backend, 3, {}, more)))
            .wait(60s);
    ASSERT_EQ(result.exit_code, 0) << backend << ": " << result.err;
    expect_close(log(backend), log("steps"));
  }
}

// Two files of made-up pictures: with sharding by file each worker reads one of them.
TEST_F(WorkersTest, FilesCanBeShared) {
  for (int file = 1; file <= 3; ++file) {
    std::string bytes;
    for (int example = 0; example < 60; ++example) {
      const int label = example % 10;
      bytes += static_cast<char>(label);
      bytes += std::string(3072, static_cast<char>(20 * label + file));
    }
    folder_.write(file == 3 ? "test_batch.bin" : "data_batch_" + std::to_string(file) + ".bin",
                  bytes);
  }
  const std::string job = folder_.write("files.textproto", R"(
data { cifar10 { directory: ")" + folder_.path() + R"(" } }
model { layers { flatten {} } layers { dense { units: 10 } } }
optimizer { adam {} }
metrics: ACCURACY
epochs: 30
batch_size: 20
)");
  const auto run = [&](int workers, const std::string& sharding) {
    return Process({kProgram, "launch", "--workers", std::to_string(workers), job, "--threads", "1",
                    "--output-dir", out(sharding + std::to_string(workers)), "--set",
                    "distributed.data_sharding=" + sharding})
        .wait(60s);
  };
  const ProcessResult by_file = run(2, "BY_FILE");
  EXPECT_EQ(by_file.exit_code, 0) << by_file.err;
  EXPECT_THAT(by_file.err, HasSubstr("each worker reads 1 of 2 files"));
  EXPECT_THAT(by_file.out, HasSubstr("\"steps\":180"));  // 30 epochs of 120 examples
  const ProcessResult automatic = run(2, "SHARD_AUTO");
  EXPECT_THAT(automatic.err, HasSubstr("shared by example"));
  const ProcessResult uneven = run(3, "BY_FILE");
  EXPECT_EQ(uneven.exit_code, 2) << uneven.err;
  EXPECT_THAT(uneven.err, HasSubstr("2 file(s) cannot be shared evenly by 3 workers"));
}

TEST_F(WorkersTest, DeterministicModeGivesEqualBits) {
  const Words set = {"--set", "distributed.deterministic=true"};
  std::string expected;
  for (int workers : {1, 2, 4}) {
    const std::string name = "det" + std::to_string(workers);
    Words more = set;
    if (workers == 1) more.insert(more.end(), {"--set", "strategy=MULTI_WORKER"});
    if (workers == 4) more.insert(more.end(), {"--set", "distributed.backend=grpc"});
    const ProcessResult result = Process(launch(name, workers, {}, more)).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    if (workers == 1) expected = log(name);
    EXPECT_EQ(log(name), expected) << workers << " workers";
  }
  Words under_mpi = set;
  under_mpi.insert(under_mpi.end(), {"--set", "distributed.backend=mpi"});
  EXPECT_EQ(
      Process(mpirun(2, "det_mpi", under_mpi), {"ASAN_OPTIONS=detect_leaks=0"}).wait(60s).exit_code,
      0);
  EXPECT_EQ(log("det_mpi"), expected) << "2 workers over MPI";
  Words mirrored = train("mirrored", set);
  mirrored.insert(mirrored.end(), {"--cpu-devices", "2", "--strategy", "mirrored"});
  EXPECT_EQ(Process(mirrored).wait(60s).exit_code, 0);
  EXPECT_EQ(log("mirrored"), expected) << "2 mirrored devices";
}

// Every step is either done by all or by none, and a worker that comes back takes over the state of
// the living: the log of a job that was hit is that of one that was not, to the last digit. It
// could not be if an example were lost or used twice.
TEST_F(WorkersTest, KilledWorkersCostNothing) {
  int kills = 4;
  const char* epochs = "500";
  if (const char* more = std::getenv("TRIREME_TEST_KILLS")) {
    kills = std::atoi(more);
    epochs = "2500";
  }
  const Words set = {"--set", std::string("epochs=") + epochs, "--set", "checkpoint.off=true"};
  const ProcessResult undisturbed = Process(launch("calm", 3, {}, set)).wait(600s);
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;

  Process job(launch("hit", 3, {"--max-restarts", "100"}, set));
  std::mt19937 random(7);
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    // At another place each time; the launcher says when all are at work again.
    ASSERT_TRUE(
        job.wait_for_error_output("generation " + std::to_string(kill_number + 1) + " begins", 30s))
        << kill_number;
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 800));
    const auto workers = tasks_of(job.pid());
    ASSERT_EQ(workers.size(), 3u);
    kill(workers.at(static_cast<int>(random() % 3)), SIGKILL);
  }
  const ProcessResult result = job.wait(600s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr(std::to_string(kills) + " restarts"));
  EXPECT_EQ(log("hit"), log("calm"));
}

// Both launches have the folder, the coordinator's address and the secret in common. A worker that
// is started again in the second must not bring in what the first has left.
TEST_F(WorkersTest, ALaterLaunchTakesNothingOfAnEarlierOne) {
  const std::string port = std::to_string(testing::free_ports());
  const auto node = [&](const std::string& name, int rank, const Words& more) {
    Words words = launch(
        name, 1,
        {"--nodes", "2", "--node-rank", std::to_string(rank), "--coordinator", "127.0.0.1:" + port,
         "--max-restarts", "3", "--log-dir", out(name) + "/logs" + std::to_string(rank)},
        more);
    return words;
  };
  const Words environment = {"TRIREME_SECRET=shared-by-the-two"};
  const auto run = [&](const std::string& name, const Words& more, const char* kill_at) {
    Process other(node(name, 1, more), environment);
    Process first(node(name, 0, more), environment);
    if (kill_at != nullptr) {
      EXPECT_TRUE(first.wait_for_error_output(kill_at, 30s));
      kill(tasks_of(other.pid()).at(1), SIGKILL);
    }
    ProcessResult result = first.wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(other.wait(30s).exit_code, 0);
    return result;
  };
  run("folder", {"--set", "epochs=60"}, nullptr);
  const Words second = {"--set", "epochs=50", "--set", "optimizer.learning_rate=0.0001"};
  run("calm", second, nullptr);
  Words over = second;
  over.push_back("--overwrite");
  const ProcessResult result = run("folder", over, "Epoch 2/");
  EXPECT_THAT(result.err, HasSubstr("generation 2 begins"));
  EXPECT_EQ(log("folder"), log("calm"));
}

TEST_F(WorkersTest, SurvivorsGoOnWithFewer) {
  const Words set = {"--set", "epochs=40", "--set", "checkpoint.off=true"};
  Process job(launch("fewer", 3, {"--min-workers", "2"}, set));
  ASSERT_TRUE(job.wait_for_error_output("generation 1 begins", 30s));
  // While they connect: what the coordinator knows must end that wait.
  kill(tasks_of(job.pid()).at(2), SIGKILL);
  const ProcessResult result = job.wait(15s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"workers\":2"));
  EXPECT_EQ(numbers(log("fewer")).size(), 200u);
}

// What Slurm does to a job whose time is up: it saves and can be resumed, by another number of
// workers.
TEST_F(WorkersTest, SigtermSavesAndAnotherNumberOfWorkersResumes) {
  Process job(launch("term", 3, {}, {"--set", "epochs=2000"}));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 30s));
  job.signal(SIGTERM);
  const ProcessResult stopped = job.wait(30s);
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("go on with --resume"));
  const size_t rows = numbers(log("term")).size() / 5;
  const ProcessResult resumed =
      Process(launch("term", 2, {}, {"--resume", "--set", "epochs=" + std::to_string(rows + 2)}))
          .wait(60s);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(numbers(log("term")).size() / 5, rows + 2);
}

// A rank that is stopped, not dead, closes no connection: only the deadline can find it.
TEST_F(WorkersTest, AStoppedWorkerIsNamed) {
  Process job(launch("stop", 3,
                     {"--grace", "1", "--stall-warning", "1", "--collective-timeout", "3"},
                     {"--set", "epochs=5000", "--set", "checkpoint.off=true"}));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 30s));
  const pid_t stopped = tasks_of(job.pid()).at(1);
  kill(stopped, SIGSTOP);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(job.wait_for_error_output("rank 1 (host", 30s));
  EXPECT_TRUE(job.wait_for_error_output("has been missing for", 30s));
  EXPECT_TRUE(job.wait_for_error_output("generation 1 has ended", 30s));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  job.signal(SIGTERM);
  kill(stopped, SIGCONT);
  job.wait(30s);
}

TEST_F(WorkersTest, TheTimelineHasAllRanksOnOneClock) {
  const ProcessResult result =
      Process(launch("traced", 2, {}, {"--timeline", out("traced") + "/timeline"})).wait(60s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* file : {"rank-0.json", "rank-1.json"}) {
    EXPECT_TRUE(std::filesystem::exists(out("traced") + "/timeline/" + file));
  }
  const auto trace = nlohmann::json::parse(read_text(out("traced") + "/timeline/timeline.json"));
  // Of one step and bucket: when each rank's transfer began and ended, in microseconds.
  std::map<int, std::pair<double, double>> transfers;
  std::map<int, int> computed;
  for (const auto& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X" || event.at("args").at("step") != 30) continue;
    const int rank = event.at("pid");
    if (event.at("name").get<std::string>().starts_with("transfer: bucket 0")) {
      const double begin = event.at("ts");
      transfers[rank] = {begin, begin + event.at("dur").get<double>()};
    } else if (event.at("cat") == "Conv2d" || event.at("cat") == "FusedConv2d") {
      ++computed[rank];
    }
  }
  ASSERT_EQ(transfers.size(), 2u);
  EXPECT_EQ(computed.size(), 2u);
  // A transfer is something that both do at once: on one clock they overlap, but for what a busy
  // machine adds to the comparing of clocks. Unlike clocks would be off by far more.
  constexpr double kSlackUs = 200'000;
  EXPECT_LT(transfers[0].first, transfers[1].second + kSlackUs);
  EXPECT_LT(transfers[1].first, transfers[0].second + kSlackUs);
}

class RefusalTest : public WorkersTest {
 protected:
  // A job of two workers that waits for the second on this port.
  Words variables(const std::string& rank, const Words& more = {}) const {
    Words words = {"TRIREME_RANK=" + rank, "TRIREME_WORLD_SIZE=2",
                   "TRIREME_COORDINATOR=127.0.0.1:" + port_, "TRIREME_JOB_ID=refusal"};
    words.push_back(rank == "0" ? "TRIREME_HOSTS_COORDINATOR=1" : "TRIREME_HOSTS_COORDINATOR=0");
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  const std::string port_ = std::to_string(testing::free_ports());
};

TEST_F(RefusalTest, WhoDoesNotBelongIsTurnedAwayAndTheJobGoesOn) {
  const Words secret = {"TRIREME_SECRET=the-right-secret"};
  Process zero(train("job"), variables("0", secret));
  ASSERT_TRUE(zero.wait_for_error_output("has joined", 30s));

  const auto refused = [&](const Words& command, const Words& environment,
                           const std::string& sentence) {
    const ProcessResult result = Process(command, environment).wait(30s);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(sentence));
  };
  refused(train("wrong"), variables("1", {"TRIREME_SECRET=the-wrong-secret"}), "secret");
  refused(train("missing"), variables("1"), "secret");
  refused(train("other", {"--set", "batch_size=32"}), variables("1", secret), "job");
  Words second_zero = variables("0", secret);
  second_zero[4] = "TRIREME_HOSTS_COORDINATOR=0";
  refused(train("second"), second_zero, "rank 0");

  const ProcessResult one = Process(train("job"), variables("1", secret)).wait(60s);
  EXPECT_EQ(one.exit_code, 0) << one.err;
  const ProcessResult result = zero.wait(30s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("refused")) << "one line on the coordinator's side, too";
  expect_close(log("job"), alone());
}

}  // namespace
}  // namespace trireme
