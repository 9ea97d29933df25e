// What a training has done is on the disk before something can fail: validations that are
// interrupted, the best epoch, and what is found wrong before the first step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kSmallJob;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::read_text;
using testing::tasks_of;
using testing::TemporaryDirectory;
using testing::trireme_run;
using Words = std::vector<std::string>;

// An epoch of two steps, and a validation of seconds.
const std::string kLongValidation = R"(name: "long"
data { digits {} take: 64 validation_take: 1500 }
model {
  layers { conv2d { filters: 24 kernel: 5 activation: RELU } }
  layers { conv2d { filters: 24 kernel: 5 activation: RELU } }
  layers { flatten {} }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} }
metrics: ACCURACY
epochs: 1
batch_size: 32
)";

// What `condition` waits for happens in another process.
template <typename Condition>
bool await(Condition condition, std::chrono::seconds deadline = 60s) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

json result_of(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const size_t end = result.out.find_last_not_of('\n');
  const size_t begin = result.out.rfind('\n', end);
  return json::parse(result.out.substr(begin == std::string::npos ? 0 : begin + 1), nullptr, false);
}

int64_t lines_of(const std::string& path) { return std::ranges::count(read_text(path), '\n'); }

class SavedWorkTest : public ::testing::Test {
 protected:
  std::string out(const std::string& name) const { return folder_ / name; }
  Words train(const std::string& job, const std::string& name, const Words& more = {}) const {
    Words words = {kProgram, "train", job, "--threads", "1", "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  bool is_saved(const std::string& name, int step) const {
    return fs::exists(out(name) + "/checkpoints/ckpt-" + std::to_string(step) + ".index");
  }
  TemporaryDirectory folder_;
};

struct Interruption {
  const char* name;
  std::vector<int> signals;
  std::vector<int> exit_codes;  // one of them
};
class InterruptedValidationTest : public SavedWorkTest,
                                  public ::testing::WithParamInterface<Interruption> {};

// The epoch is on the disk when its validation begins, so neither a signal, nor a second one, nor a
// crash costs it; what goes on from there validates it and has the log of a training that was never
// interrupted.
TEST_P(InterruptedValidationTest, LosesNothing) {
  const std::string job = folder_.write("job.textproto", kLongValidation);
  ASSERT_EQ(Process(train(job, "whole")).wait(60s).exit_code, 0);

  Process cut(train(job, "cut"));
  ASSERT_TRUE(await([&] { return is_saved("cut", 2); }));
  for (const int number : GetParam().signals) cut.signal(number);
  const ProcessResult stopped = cut.wait(30s);
  EXPECT_THAT(GetParam().exit_codes, ::testing::Contains(stopped.exit_code)) << stopped.err;
  EXPECT_LT(lines_of(out("cut") + "/log.csv"), 2) << "the validation was over too soon";

  const ProcessResult resumed = Process(train(job, "cut", {"--resume"})).wait(60s);
  const json line = result_of(resumed);
  EXPECT_EQ(line.value("steps", 0), 2);
  EXPECT_EQ(read_log(out("cut") + "/log.csv"), read_log(out("whole") + "/log.csv"));
  for (const char* file : {"ckpt-2.index", "ckpt-2.data-00000-of-00001"}) {
    EXPECT_TRUE(read_text(out("cut") + "/checkpoints/" + file) ==
                read_text(out("whole") + "/checkpoints/" + file))
        << file;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ends, InterruptedValidationTest,
    // Of two signals it is not said which comes first, nor whether the step ends between them.
    ::testing::Values(Interruption{"Terminate", {SIGTERM}, {75}},
                      Interruption{"Interrupt", {SIGINT}, {130}},
                      Interruption{"Twice", {SIGTERM, SIGINT}, {75, 128 + SIGTERM, 128 + SIGINT}},
                      Interruption{"Kill", {SIGKILL}, {128 + SIGKILL}}),
    [](const auto& test) { return test.param.name; });

// A save that is cut short loses what it was to keep: the second signal waits for it.
TEST_F(SavedWorkTest, ASecondSignalDoesNotCutASaveShort) {
  std::string text = kSmallJob;
  text.replace(text.find("units: 16"), 9, "units: 12000");  // 38 MB
  text.replace(text.find("optimizer { adam {} }"), 21, "optimizer { sgd {} }");
  const std::string job = folder_.write("job.textproto", text);
  Process process(train(job, "run", {"--set", "data.take=64"}));
  const std::string temporary = "ckpt-1.data-00000-of-00001.tmp-";
  ASSERT_TRUE(await([&] {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(out("run") + "/checkpoints", error)) {
      if (entry.path().filename().string().starts_with(temporary)) return true;
    }
    return false;
  }));
  process.signal(SIGTERM);
  process.signal(SIGINT);
  const ProcessResult stopped = process.wait(60s);
  EXPECT_THAT(stopped.err, HasSubstr("go on with --resume")) << stopped.exit_code;
  EXPECT_TRUE(is_saved("run", 1));
}

// Whoever is told to stop, all workers end together, and long before the validation would.
TEST_F(SavedWorkTest, OneWorkerThatIsToldToStopEndsTheValidationOfAll) {
  const std::string job = folder_.write("job.textproto", kLongValidation);
  const auto launch = [&](const std::string& name, const Words& more) {
    Words words = {kProgram,    "launch", "--workers",    "2",      job,
                   "--threads", "1",      "--output-dir", out(name)};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const Words& options : {Words{}, Words{"--ps", "1", "--strategy", "parameter_server"}}) {
    const std::string kind = options.empty() ? "group" : "servers";
    ASSERT_EQ(Process(launch(kind + "whole", options)).wait(60s).exit_code, 0);
    Process cut(launch(kind + "cut", options));
    ASSERT_TRUE(await([&] { return is_saved(kind + "cut", 2); }));
    kill(tasks_of(cut.pid()).at(1), SIGTERM);
    const ProcessResult stopped = cut.wait(60s);
    EXPECT_NE(stopped.exit_code, 0) << stopped.err;
    EXPECT_LT(lines_of(out(kind + "cut") + "/log.csv"), 2) << kind;

    Words more = options;
    more.push_back("--resume");
    const ProcessResult resumed = Process(launch(kind + "cut", more)).wait(60s);
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    testing::expect_close(read_log(out(kind + "cut") + "/log.csv"),
                          read_log(out(kind + "whole") + "/log.csv"));
  }
}

// Before the first step there is nothing to save, and nothing to wait for.
TEST_F(SavedWorkTest, ASignalEndsThePreparationAtOnce) {
  // As many digits as there are take seconds to draw.
  const std::string job = folder_.write("job.textproto", kSmallJob);
  Process process(train(job, "run", {"--set", "data.take=60000"}));
  // SIGUSR1 is caught from when signals mean a wish to end.
  const std::string status = "/proc/" + std::to_string(process.pid()) + "/status";
  ASSERT_TRUE(await([&] {
    const std::string text = read_text(status);
    const size_t at = text.find("SigCgt:");
    return at != std::string::npos &&
           (std::stoull(text.substr(at + 7), nullptr, 16) >> (SIGUSR1 - 1) & 1) != 0;
  }));
  process.signal(SIGTERM);
  const ProcessResult stopped = process.wait(60s);
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("before the first step"));
  EXPECT_FALSE(fs::exists(out("run") + "/checkpoints"));
}

double smallest_val_loss(const std::string& csv) {
  const auto values = testing::numbers(csv);
  double smallest = HUGE_VAL;
  for (size_t row = 0; row < values.size(); row += 5) {
    smallest = std::min(smallest, values[row + 3]);
  }
  return smallest;
}

// A learning rate at which the loss of the validation soon rises again.
const Words kOverfits = {"--set", "epochs=30",
                         "--set", "optimizer.learning_rate=0.02",
                         "--set", "early_stopping.patience=4",
                         "--set", "early_stopping.restore_best=true"};

// What is restored in memory alone is lost with the process.
TEST_F(SavedWorkTest, TheBestEpochIsWhatAllCommandsHave) {
  const std::string job = folder_.write("job.textproto", kSmallJob);
  const std::string run = out("run");
  const ProcessResult trained = Process(train(job, "run", kOverfits)).wait(60s);
  const json line = result_of(trained);
  const std::string log = read_log(run + "/log.csv");
  const double best = smallest_val_loss(log);
  ASSERT_GT(testing::numbers(log).end()[-2], best) << "the last epoch must not be the best";

  EXPECT_NEAR(line.value("val_loss", 0.), best, 1e-5);
  EXPECT_NEAR(line.value("best_val_loss", 0.), best, 1e-5);
  EXPECT_THAT(line.value("stop_reason", ""), HasSubstr("val_loss has not improved"));
  EXPECT_EQ(line.value("best_epoch", 0), line.value("epochs", 0) - 4);
  EXPECT_THAT(trained.err, HasSubstr("stopped after epoch"));
  const auto evaluate = [&](const std::string& checkpoint) {
    return result_of(trireme_run({"evaluate", job, "--checkpoint", checkpoint}))
        .value("val_loss", 0.);
  };
  const std::string step = std::to_string(line.value("best_epoch", 0) * 10);
  EXPECT_NEAR(evaluate(run + "/checkpoints"), best, 1e-5);
  EXPECT_NEAR(evaluate(run + "/checkpoints/ckpt-" + step), best, 1e-5);
  EXPECT_NEAR(evaluate(run + "/checkpoints/checkpoint_best"), best, 1e-5);

  // Once more: nothing is left to do, and nothing changes.
  Words again = kOverfits;
  again.push_back("--resume");
  EXPECT_NEAR(result_of(Process(train(job, "run", again)).wait(60s)).value("val_loss", 0.), best,
              1e-5);
  EXPECT_NEAR(evaluate(run + "/checkpoints"), best, 1e-5);
}

TEST_F(SavedWorkTest, SeveralWorkersRestoreTheBestEpochToo) {
  const std::string job = folder_.write("job.textproto", kSmallJob);
  Words words = {kProgram,    "launch", "--workers",    "2",       job,
                 "--threads", "1",      "--output-dir", out("two")};
  words.insert(words.end(), kOverfits.begin(), kOverfits.end());
  const json line = result_of(Process(words).wait(60s));
  const double best = smallest_val_loss(read_log(out("two") + "/log.csv"));
  EXPECT_NEAR(line.value("val_loss", 0.), best, 1e-5);
  const ProcessResult evaluated =
      trireme_run({"evaluate", job, "--checkpoint", out("two") + "/checkpoints"});
  EXPECT_NEAR(result_of(evaluated).value("val_loss", 0.), best, 1e-5);
}

// Each of these was found only when an epoch was done, and that epoch was lost.
TEST_F(SavedWorkTest, WhatIsWrongWithTheEndIsSaidBeforeTheFirstStep) {
  const std::string job = folder_.write("job.textproto", kSmallJob);
  const auto refuses = [&](const std::string& name, const Words& more, int code,
                           const std::string& reason) {
    const ProcessResult result = Process(train(job, name, more)).wait(60s);
    EXPECT_EQ(result.exit_code, code) << name << ": " << result.err;
    EXPECT_THAT(result.err, HasSubstr(reason)) << name;
    EXPECT_THAT(result.err, ::testing::Not(HasSubstr("Epoch 1/"))) << name;
  };
  refuses("misspelt",
          {"--set", "early_stopping.monitor=val_los", "--set", "early_stopping.patience=2"}, 2,
          "no \"val_los\" to monitor; this training has loss, accuracy, val_loss, val_accuracy");

  fs::create_directories(out("file"));
  std::ofstream(out("file") + "/checkpoints") << "not a folder";
  refuses("file", {}, 2, "file/checkpoints");

  fs::create_directories(out("log") + "/log.csv");
  refuses("log", {}, 2, "log/log.csv");

  fs::create_directories(out("disk"));
  if (mount("tmpfs", out("disk").c_str(), "tmpfs", 0, "size=200k") != 0) {
    GTEST_SKIP() << "a tmpfs cannot be mounted here (not root?)";
  }
  refuses("disk", {}, 1, "room for two is needed");
  mount("tmpfs", out("disk").c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "");
  refuses("disk", {}, 2, "Read-only file system");
  umount(out("disk").c_str());
}

// The last row of the table, which only a validation reads.
TEST_F(SavedWorkTest, ABadLabelOfTheValidationIsFoundBeforeTheFirstStep) {
  std::string table = "a,b,label\n";
  for (int i = 0; i < 3000; ++i) {
    table +=
        std::to_string(i % 7) + "," + std::to_string(i % 5) + "," + std::to_string(i % 2) + "\n";
  }
  table += "1,2,2\n";
  const std::string job =
      folder_.write("job.textproto", "data { csv { file: \"" + folder_.write("table.csv", table) +
                                         "\" label: \"label\" integer_label: true } }\n"
                                         "model { layers { dense { units: 2 } } }\nepochs: 2\n");
  const ProcessResult result = Process(train(job, "run")).wait(60s);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("validation data"));
  EXPECT_THAT(result.err, HasSubstr("label"));
  EXPECT_THAT(result.err, ::testing::Not(HasSubstr("Epoch 1/")));
}

// A label that only a late step reads: the steps before are not lost.
TEST_F(SavedWorkTest, AnErrorInAStepSavesTheStepsBefore) {
  std::string table = "a,b,label\n";
  for (int i = 0; i < 1000; ++i) {
    table += std::to_string(i % 7) + "," + std::to_string(i % 5) + "," +
             std::to_string(i == 700 ? 5 : i % 2) + "\n";
  }
  const std::string job = folder_.write(
      "job.textproto", "data { csv { file: \"" + folder_.write("table.csv", table) +
                           "\" label: \"label\" integer_label: true } keep_order: true }\n"
                           "model { layers { dense { units: 2 } } }\nepochs: 2 batch_size: 100\n");
  const ProcessResult result = Process(train(job, "run")).wait(60s);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("step 8"));
  EXPECT_THAT(result.err, HasSubstr("the training up to step 7 is saved in"));
  EXPECT_TRUE(is_saved("run", 7));
}

}  // namespace
}  // namespace trireme
