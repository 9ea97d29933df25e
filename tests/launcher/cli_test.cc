// The program as a user runs it: results on standard output, progress on standard error, exit
// codes, resuming.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kSmallJob;
using testing::ProcessResult;
using testing::read_log;
using testing::TemporaryDirectory;
using testing::trireme_run;

// Every test trains with few threads, so that tests can run side by side.
ProcessResult train(const std::string& job, const std::string& output,
                    std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"train", job, "--output-dir", output, "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return trireme_run(arguments);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(CliTest, EveryCommandHasHelpWithAnExample) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"train"},
                                             {"evaluate"},
                                             {"predict"},
                                             {"inspect"},
                                             {"curves"},
                                             {"devices"},
                                             {"generate", "clicks"},
                                             {"bench", "train"},
                                             {"bench", "ops"}}) {
    std::vector<std::string> arguments = command;
    arguments.push_back("--help");
    const ProcessResult result = trireme_run(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, HasSubstr("trireme"));
    EXPECT_THAT(result.out, HasSubstr("Example"));
  }
}

TEST(CliTest, TrainEndsWithOneLineOfJsonAndLeavesALogAndCheckpoints) {
  const TemporaryDirectory folder;
  const ProcessResult result = train(folder.write("job.textproto", kSmallJob), folder / "run");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(
      result.out,
      ContainsRegex("^\\{\"job\":\"small\",\"strategy\":\"one_device\",\"workers\":1,\"epochs\":2,"
                    "\"steps\":20,\"loss\":[0-9.]+,\"accuracy\":[0-9.]+,\"val_loss\":[0-9.]+,"
                    "\"val_accuracy\":[0-9.]+,\"stop_reason\":\"all epochs were done\","
                    "\"data_wait_seconds\":[0-9.e-]+,\"seconds\":[0-9.]+\\}\n$"));
  EXPECT_THAT(result.err, HasSubstr("Epoch 2/2"));
  EXPECT_THAT(read_log(folder / "run/log.csv"), ContainsRegex("epoch.*loss.*accuracy.*\n.*\n.*\n"));
  EXPECT_TRUE(std::filesystem::exists(folder / "run/checkpoints/ckpt-20.index"));
}

TEST(CliTest, EvaluatePredictAndInspectReadTheCheckpoint) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  const ProcessResult trained = train(job, folder / "run");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string checkpoint = folder / "run/checkpoints";
  const ProcessResult evaluated = trireme_run({"evaluate", job, "--checkpoint", checkpoint});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
  std::smatch loss;
  const std::regex val_loss("\"val_loss\":([0-9.e-]+)");
  ASSERT_TRUE(std::regex_search(trained.out, loss, val_loss));
  const double at_the_end = std::stod(loss[1]);
  ASSERT_TRUE(std::regex_search(evaluated.out, loss, val_loss));
  EXPECT_NEAR(std::stod(loss[1]), at_the_end, 1e-5);

  const ProcessResult predicted =
      trireme_run({"predict", job, "--checkpoint", checkpoint, "--limit", "3"});
  ASSERT_EQ(predicted.exit_code, 0) << predicted.err;
  EXPECT_EQ(std::ranges::count(predicted.out, '\n'), 3);
  EXPECT_THAT(predicted.out, HasSubstr("\"class\":"));

  const ProcessResult inspected = trireme_run({"inspect", checkpoint + "/ckpt-20"});
  ASSERT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("hidden/kernel"));
  EXPECT_THAT(inspected.out, HasSubstr("optimizer/adam/m/hidden/kernel"));
}

// The promise of --resume: the losses of a training that was stopped are those of one that never
// was, bit for bit.
TEST(CliTest, ATrainingThatWasStoppedGoesOnAsIfItHadNot) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  ASSERT_EQ(train(job, folder / "whole").exit_code, 0);

  // SIGTERM at some step of many; the job is long enough that it cannot have ended.
  testing::Process process({kProgram, "train", job, "--output-dir", folder / "parts", "--threads",
                            "1", "--set", "epochs=100000"});
  ASSERT_TRUE(process.wait_for_error_output("Epoch 1/", std::chrono::seconds(60)));
  process.signal(SIGTERM);
  const ProcessResult stopped = process.wait();
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("go on with --resume"));

  // The same two epochs, cut at step 7 and then gone on with.
  ASSERT_EQ(train(job, folder / "cut", {"--set", "checkpoint.every_steps=7", "--set", "epochs=1"})
                .exit_code,
            0);
  std::filesystem::create_directories(folder / "half/checkpoints");
  for (const char* suffix : {".index", ".data-00000-of-00001"}) {
    std::filesystem::copy_file(folder / "cut/checkpoints/ckpt-7" + suffix,
                               folder / "half/checkpoints/ckpt-7" + suffix);
  }
  const ProcessResult resumed = train(job, folder / "half", {"--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  const std::string data = "/checkpoints/ckpt-20.data-00000-of-00001";
  EXPECT_TRUE(read_text(folder.path() + "/whole" + data) ==
              read_text(folder.path() + "/half" + data));
  EXPECT_EQ(read_log(folder / "whole/log.csv"), read_log(folder / "half/log.csv"));
}

TEST(CliTest, CtrlCFinishesTheStepAndSaves) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  testing::Process process({kProgram, "train", job, "--output-dir", folder / "run", "--threads",
                            "1", "--set", "epochs=100000"});
  ASSERT_TRUE(process.wait_for_error_output("Epoch 2/", std::chrono::seconds(60)));
  process.signal(SIGINT);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_THAT(result.err, HasSubstr("saved in"));
  EXPECT_THAT(result.out, HasSubstr("\"steps\":"));
}

TEST(CliTest, PlacementIsLoggedAndTheGraphCanBeInspected) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  const ProcessResult result = train(
      job, folder / "run",
      {"--set", "epochs=1", "--log-device-placement", "--save-graph", folder / "small.graph"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("/device:CPU:0"));
  EXPECT_THAT(trireme_run({"inspect", folder / "small.graph"}).out, HasSubstr("MatMul"));
  EXPECT_THAT(trireme_run({"inspect", "--dot", folder / "small.graph"}).out, HasSubstr("digraph"));
}

TEST(CliTest, DevicesAreNamedAsTensorFlowNamesThem) {
  const ProcessResult result = trireme_run({"devices", "--cpu-devices", "2"});
  EXPECT_THAT(result.out, HasSubstr("/device:CPU:0"));
  EXPECT_THAT(result.out, HasSubstr("/device:CPU:1"));
}

TEST(CliTest, BenchPrintsTheKeysThatThePeersPrint) {
  const ProcessResult ops = trireme_run({"bench", "ops", "--filter", "relu", "--repetitions", "3"});
  ASSERT_EQ(ops.exit_code, 0) << ops.err;
  EXPECT_THAT(ops.out, HasSubstr("\"case\":\"relu_1m\""));
  const ProcessResult trained = trireme_run(
      {"bench", "train", "--model", "mlp", "--steps", "2", "--blocks", "1", "--warmup", "1"});
  if (trained.exit_code == 2)
    GTEST_SKIP() << trained.err;  // no MNIST here; it says where it looked
  for (const char* key : {"peer", "model", "workers", "threads", "batch_per_worker",
                          "samples_per_s", "min", "max", "loss", "rss_mib"}) {
    EXPECT_THAT(trained.out, HasSubstr("\"" + std::string(key) + "\":"));
  }
}

}  // namespace
}  // namespace trireme
