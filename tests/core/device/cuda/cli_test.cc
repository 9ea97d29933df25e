// trireme on machines with a GPU and without: what the command line says, and that jobs train.
#include <gmock/gmock.h>

#include <algorithm>

#include "core/device/cuda/cuda.h"
#include "tests/launcher/program.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// `changes` as env(1) takes them.
ProcessResult trireme_with(const std::vector<std::string>& changes,
                           const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"/usr/bin/env"};
  command.insert(command.end(), changes.begin(), changes.end());
  command.insert(command.end(), {"OMP_NUM_THREADS=1", kProgram});
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command);
}

int lines(const std::string& text) { return static_cast<int>(std::ranges::count(text, '\n')); }

class CudaCliTest : public ::testing::Test {
 protected:
  const TemporaryDirectory folder_;
  const std::string job_ = folder_.write("small.textproto", kSmallJob);
  const std::string output_ = "--output-dir=" + (folder_ / "run");
};

void expect_one_line(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(lines(result.err), 1) << result.err;
  EXPECT_THAT(result.err, AllOf(StartsWith("trireme: --device gpu: "), HasSubstr("--device cpu")));
  EXPECT_EQ(result.out, "");
}

TEST_F(CudaCliTest, WithoutADriverTrainingOnAGpuEndsWithOneLine) {
  const std::vector<std::string> no_fake = {"-u", "LD_LIBRARY_PATH"};
  if (trireme_with(no_fake, {"devices"}).out.find("/device:GPU:0") != std::string::npos) {
    GTEST_SKIP() << "this machine has a GPU";
  }
  expect_one_line(trireme_with(no_fake, {"train", job_, "--device", "gpu", output_}));
}

TEST_F(CudaCliTest, WithoutACardTrainingOnAGpuEndsWithOneLine) {
  if (const auto problem = cuda_problem(); !problem.empty()) {
    GTEST_SKIP() << "there is no driver that could have no card: " << problem;
  }
  // For a real driver, and for the fake one.
  const auto result = trireme_with({"CUDA_VISIBLE_DEVICES=-1", "TRIREME_FAKE_GPUS=0"},
                                   {"train", job_, "--device", "gpu", output_});
  expect_one_line(result);
  EXPECT_THAT(result.err, HasSubstr("sees no GPU (CUDA_VISIBLE_DEVICES is '-1')"));
}

TEST_F(CudaCliTest, DevicesListsGpusOrSaysWhyThereIsNone) {
  const auto result = trireme_with({}, {"devices"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("/device:CPU:0"));
  const std::string problem = cuda_problem();
  if (problem.empty()) {
    EXPECT_THAT(result.out, AllOf(HasSubstr("/device:GPU:0"), HasSubstr("compute capability"),
                                  HasSubstr("MiB")));
  } else {
    EXPECT_THAT(result.out, HasSubstr("no GPU: " + problem));
  }
}

TEST_F(CudaCliTest, TrainsOnAGpu) {
  if (const auto problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const auto result =
      trireme_with({}, {"train", job_, "--device", "gpu", "--gpus", "1", "--quiet", output_});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"loss\""));
}

TEST_F(CudaCliTest, SaysWhereOpsRun) {
  if (const auto problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const auto result = trireme_with({}, {"train", job_, "--device", "gpu", "--gpus", "1", "--quiet",
                                        "--log-device-placement", output_});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("hidden/kernel (Variable): /device:GPU:0"));
  EXPECT_THAT(result.err, Not(HasSubstr("/device:CPU")));
}

TEST_F(CudaCliTest, AModelThatDoesNotFitSaysWhatWasTooMuch) {
  if (const auto problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const auto result =
      trireme_with({}, {"train", job_, "--device", "gpu", "--gpus", "1", "--quiet", output_,
                        "--gpu-memory-limit", "4", "--set", "model.layers[1].dense.units=4096"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("variable 'hidden/kernel"), HasSubstr("limit 4 MiB")));
}

TEST_F(CudaCliTest, MirroredOverVirtualGpusTrains) {
  if (const auto problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const auto result =
      trireme_with({}, {"train", job_, "--device", "gpu", "--gpus", "1", "--virtual-gpus", "2",
                        "--strategy", "mirrored", "--quiet", "--set", "epochs=1", output_});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"strategy\":\"mirrored\""));
}

}  // namespace
}  // namespace trireme::testing
