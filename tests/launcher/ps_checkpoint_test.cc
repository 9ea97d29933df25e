// Checkpoints of trainings with parameter servers, with real processes: each holds one step in
// every part, whatever the workers do meanwhile, and what is not whole is not used.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "core/io/checkpoint.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;
using Tensors = std::map<std::string, Tensor>;

constexpr int64_t kSteps = 40;

// Momentum, so that a step changes rows that the next one does not name; without Adam's quotients,
// in which rounding grows.
const std::string kJob = R"(name: "clicks"
data { clicks { examples: 4000 keys: 500 zipf: 1.1 } }
model { layers { wide_deep { keys: 500 dimension: 4 deep: 8 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { sgd { momentum: 0.9 } learning_rate: 0.05 }
epochs: 1
batch_size: 100
parameter_servers { timeout_s: 20 }
)";

// The greatest difference of rows that servers saved from a variable of one process.
double distance(const Tensors& part, const std::string& table, const Tensor& variable) {
  const auto values = variable.flat<float>();
  const auto keys = part.at("ps/" + table + "/keys").flat<int64_t>();
  const Tensor& weights = part.at("ps/" + table + "/weights");
  const auto rows = weights.flat<float>();
  const auto dim = static_cast<size_t>(weights.shape()[1]);
  double most = 0;
  for (size_t row = 0; row < keys.size(); ++row) {
    for (size_t i = 0; i < dim; ++i) {
      const size_t at = static_cast<size_t>(keys[row]) * dim + i;
      if (at >= values.size()) continue;  // padding of a dense table's last row
      most = std::max(most, std::abs(static_cast<double>(rows[row * dim + i]) - values[at]));
    }
  }
  return most;
}

class PsCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override { job_ = folder_.write("job.textproto", kJob); }

  std::string out(const std::string& name) const { return folder_ / name; }
  std::string checkpoint(const std::string& name, int64_t step) const {
    return out(name) + "/checkpoints/ckpt-" + std::to_string(step);
  }
  std::string rows(const std::string& name, int64_t step) const {
    return out(name) + "/checkpoints/rows/ckpt-" + std::to_string(step);
  }
  std::string part(const std::string& name, int64_t step, int slot) const {
    return rows(name, step) + ".ps-0000" + std::to_string(slot) + "-of-00002";
  }

  Words launch(const std::string& name, const std::string& strategy, int64_t every_steps,
               const Words& more = {}) const {
    Words words = {kProgram,
                   "launch",
                   "--workers",
                   "2",
                   "--ps",
                   "2",
                   job_,
                   "--threads",
                   "1",
                   "--strategy",
                   strategy,
                   "--output-dir",
                   out(name),
                   "--set",
                   "checkpoint=keep: 1000 every_steps: " + std::to_string(every_steps)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // All steps of one process, which every other way to train must follow.
  std::vector<Tensors> alone(int64_t last = kSteps, const Words& more = {}) const {
    Words words = {kProgram,     "train", job_,
                   "--threads",  "1",     "--output-dir",
                   out("alone"), "--set", "checkpoint=keep: 1000 every_steps: 1"};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = Process(words).wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<Tensors> steps(1);
    for (int64_t step = 1; step <= last; ++step) {
      steps.push_back(io::load_checkpoint(checkpoint("alone", step)));
    }
    return steps;
  }
  // A short training with checkpoints of the steps 20 and 40.
  void train(const std::string& name, const std::string& strategy = "parameter_server") const {
    const ProcessResult result = Process(launch(name, strategy, kSteps / 2)).wait(60s);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  void copy(const std::string& from, const std::string& to) const {
    for (const char* suffix : {".index", ".data-00000-of-00001"}) {
      fs::copy_file(from + suffix, to + suffix, fs::copy_options::overwrite_existing);
    }
  }
  void flip_last_byte(const std::string& path) const {
    std::string bytes = read_text(path);
    ASSERT_FALSE(bytes.empty()) << path;
    bytes.back() ^= 1;
    std::ofstream(path) << bytes;
  }

  TemporaryDirectory folder_;
  std::string job_;
};

// A worker that is stopped again and again is behind the others, each time in another slot.
class StoppedWorkerTest : public PsCheckpointTest,
                          public ::testing::WithParamInterface<const char*> {};

TEST_P(StoppedWorkerTest, EveryCheckpointHoldsItsStepInEveryPart) {
  const std::vector<Tensors> expected = alone();
  Process job(launch("hit", GetParam(), 2));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 1/", 60s));
  const auto workers = tasks_of(job.pid());
  ASSERT_TRUE(workers.contains(1));
  // It must be stopped in the middle of something, which no message tells: by the clock.
  for (int i = 0; i < 200 && kill(workers.at(1), SIGSTOP) == 0; ++i) {
    std::this_thread::sleep_for(30ms);
    kill(workers.at(1), SIGCONT);
    std::this_thread::sleep_for(5ms);
  }
  const ProcessResult result = job.wait(60s);
  ASSERT_EQ(result.exit_code, 0) << result.err;

  Words tables = {"wide_deep/table/embeddings", "wide_deep/wide/embeddings"};
  if (std::string(GetParam()) == "parameter_server") tables.push_back("wide_deep/deep_0/kernel");
  for (int64_t step = 2; step <= kSteps; step += 2) {
    const auto now = static_cast<size_t>(step);
    for (int slot = 0; slot < 2; ++slot) {
      const Tensors found = io::load_checkpoint(part("hit", step, slot));
      EXPECT_EQ(found.at("ps/step").item<int64_t>(), step);
      double right = 0, before = 0;
      for (const std::string& table : tables) {
        right = std::max(right, distance(found, table, expected[now].at(table)));
        before = std::max(before, distance(found, table, expected[now - 1].at(table)));
        // No row was pushed later.
        for (const int64_t version : found.at("ps/" + table + "/version").flat<int64_t>()) {
          EXPECT_LE(version, step) << table;
        }
      }
      EXPECT_LT(right, 1e-5) << "step " << step << ", slot " << slot;
      EXPECT_GT(before, 1e-4) << "a step more or less would not be seen";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Strategies, StoppedWorkerTest,
                         ::testing::Values("parameter_server", "hybrid"),
                         [](const auto& info) { return std::string(info.param); });

// What is being saved is saved again, with the backup: no checkpoint is left out, and each is
// whole.
TEST_F(PsCheckpointTest, ServersThatDieCostNoCheckpoint) {
  constexpr int64_t kMore = 200;
  const Words longer = {"--set", "data.clicks.examples=20000"};
  const std::vector<Tensors> expected = alone(kMore, longer);
  Words words = launch("hit", "parameter_server", 2, longer);
  words.insert(words.begin() + 2, {"--ps-replicas", "2", "--max-restarts", "10"});
  Process job(words);
  int killed = 0;
  for (; killed < 3; ++killed) {
    if (!job.wait_for_error_output("every slot is on two", 30s, killed + 1)) break;
    const auto servers = tasks_of(job.pid(), "ps");
    if (!servers.contains(killed % 2)) break;
    kill(servers.at(killed % 2), SIGKILL);
  }
  EXPECT_GT(killed, 0);
  const ProcessResult result = job.wait(90s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string table = "wide_deep/table/embeddings";
  for (int64_t step = 2; step <= kMore; step += 2) {
    for (int slot = 0; slot < 2; ++slot) {
      const Tensors found = io::load_checkpoint(part("hit", step, slot));
      EXPECT_EQ(found.at("ps/step").item<int64_t>(), step);
      const Tensor& wanted = expected[static_cast<size_t>(step)].at(table);
      EXPECT_LT(distance(found, table, wanted), 1e-5) << "step " << step << ", slot " << slot;
    }
  }
}

// Whoever reads a checkpoint says which part of it is not what it was saved with.
TEST_F(PsCheckpointTest, WhatReadsACheckpointNamesThePartThatDoesNotBelong) {
  train("job");
  const auto run = [&](const Words& words) { return Process(words).wait(60s); };
  const Words evaluate = {
      kProgram, "evaluate", job_, "--threads", "1", "--checkpoint", checkpoint("job", kSteps)};
  Words predict = evaluate;
  predict[1] = "predict";
  const Words inspect = {kProgram, "inspect", rows("job", kSteps) + ".ps"};
  for (const Words& words : {evaluate, predict, inspect}) {
    const ProcessResult whole = run(words);
    EXPECT_EQ(whole.exit_code, 0) << whole.err;
  }
  struct Damage {
    std::function<void()> make;
    std::string place, found;
  };
  const std::string manifest = rows("job", kSteps) + ".ps";
  const std::string data = part("job", kSteps, 0) + ".data-00000-of-00001";
  fs::copy(out("job") + "/checkpoints/rows", out("whole"));
  for (const Damage& damage :
       {Damage{[&] { copy(part("job", kSteps / 2, 1), part("job", kSteps, 1)); },
               part("job", kSteps, 1), "found one of step 20"},
        Damage{[&] { flip_last_byte(data); }, data, "this part of the checkpoint is damaged"},
        Damage{[&] { fs::remove(part("job", kSteps, 1) + ".index"); }, part("job", kSteps, 1),
               "is missing"},
        Damage{[&] { flip_last_byte(manifest); }, manifest, "the manifest is damaged"},
        Damage{[&] { fs::remove(manifest); }, manifest, "the file is not there"},
        Damage{[&] {
                 fs::copy_file(rows("job", kSteps / 2) + ".ps", manifest,
                               fs::copy_options::overwrite_existing);
               },
               manifest, "found those of step 20"},
        Damage{[&] { std::ofstream(manifest) << "slots 2\nrows 7\nchanged_since -1\n"; }, manifest,
               "had no checksums"}}) {
    damage.make();
    for (const Words& words : {evaluate, predict}) {
      const ProcessResult result = run(words);
      EXPECT_EQ(result.exit_code, 2) << damage.found;
      EXPECT_EQ(result.out, "") << damage.found;
      EXPECT_THAT(result.err, AllOf(HasSubstr(damage.place), HasSubstr(damage.found)));
    }
    // Without a manifest it shows what is there, and says that it is not complete.
    if (damage.found != "the file is not there") {
      EXPECT_EQ(run(inspect).exit_code, 2);
    }
    fs::remove_all(out("job") + "/checkpoints/rows");
    fs::copy(out("whole"), out("job") + "/checkpoints/rows");
  }
}

// The newest that is whole, after a word about each that is not.
TEST_F(PsCheckpointTest, ResumePassesOverWhatIsNotWhole) {
  Words reference = {kProgram,       "train",      job_,    "--threads", "1",
                     "--output-dir", out("alone"), "--set", "epochs=2"};
  ASSERT_EQ(Process(reference).wait(60s).exit_code, 0);
  const auto expected = testing::numbers(read_log(out("alone") + "/log.csv"));
  for (const char* strategy : {"parameter_server", "hybrid"}) {
    train(strategy, strategy);
    copy(part(strategy, kSteps / 2, 1), part(strategy, kSteps, 1));
    const auto begin = std::chrono::steady_clock::now();
    const ProcessResult resumed =
        Process(launch(strategy, strategy, kSteps / 2, {"--resume", "--set", "epochs=2"}))
            .wait(60s);
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s) << "it must not wait for what is lost";
    EXPECT_THAT(resumed.err, AllOf(HasSubstr(part(strategy, kSteps, 1)),
                                   HasSubstr("going on from " + checkpoint(strategy, 20))));
    const auto found = testing::numbers(read_log(out(strategy) + "/log.csv"));
    ASSERT_EQ(found.size(), expected.size());
    // Epoch, loss, validation loss: of the second epoch, which nothing was lost of.
    for (size_t i = 3; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-4 * std::abs(expected[i])) << strategy;
    }
  }
}

// Both workers of a group die at once, the servers live: the group goes on from its checkpoint, and
// the rows, which are further by then, go back with it.
TEST_F(PsCheckpointTest, RowsGoBackWithAGroupThatHasOnlyItsCheckpoint) {
  const Words longer = {"--set", "data.clicks.examples=20000", "--set", "epochs=2"};
  Words reference = {kProgram, "train", job_, "--threads", "1", "--output-dir", out("alone")};
  reference.insert(reference.end(), longer.begin(), longer.end());
  ASSERT_EQ(Process(reference).wait(60s).exit_code, 0);
  const auto expected = testing::numbers(read_log(out("alone") + "/log.csv"));
  Words words = launch("hit", "hybrid", 0, longer);
  words.insert(words.begin() + 2, {"--max-restarts", "10"});
  Process job(words);
  // The second checkpoint is far away.
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  ASSERT_TRUE(job.wait_for_error_output("/200 - ", 20s, 6));
  for (const auto& [rank, pid] : tasks_of(job.pid())) kill(pid, SIGKILL);
  const ProcessResult result = job.wait(90s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("they are taken back to it"));
  const auto found = testing::numbers(read_log(out("hit") + "/log.csv"));
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 1e-4 * std::abs(expected[i])) << result.err;
  }
}

// Rows of workers that were some steps apart: all go on behind the checkpoint's step, and nobody
// waits for steps that are over.
TEST_F(PsCheckpointTest, LooseRowsGoOnBehindTheCheckpointsStep) {
  const Words loose = {
      "--set", "parameter_servers=timeout_s: 5 dense: BOUNDED sparse: BOUNDED staleness: 1"};
  Process job(launch("loose", "parameter_server", 2, loose));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 1/", 60s));
  const auto workers = tasks_of(job.pid());
  ASSERT_TRUE(workers.contains(1));
  for (int i = 0; i < 20 && kill(workers.at(1), SIGSTOP) == 0; ++i) {
    std::this_thread::sleep_for(20ms);
    kill(workers.at(1), SIGCONT);
    std::this_thread::sleep_for(5ms);
  }
  ASSERT_EQ(job.wait(60s).exit_code, 0);
  // As a job that was killed after this step.
  const int64_t step = 10;
  for (int64_t later = step + 2; later <= kSteps; later += 2) {
    fs::remove(checkpoint("loose", later) + ".index");
  }
  Words more = loose;
  more.push_back("--resume");
  const ProcessResult resumed = Process(launch("loose", "parameter_server", 2, more)).wait(60s);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("\"steps\":40"));
}

}  // namespace
}  // namespace trireme
