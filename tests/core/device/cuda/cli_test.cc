// trireme on machines with a GPU and without: what the command line says, and that jobs train.
#include <gmock/gmock.h>

#include <cstdlib>

#include "core/device/cuda/cuda.h"
#include "tests/launcher/program.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProcessResult trireme_with(std::vector<std::string> environment,
                           std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kProgram);
  environment.emplace_back("OMP_NUM_THREADS=1");
  return run(arguments, environment);
}

int lines(const std::string& text) { return static_cast<int>(std::ranges::count(text, '\n')); }

class CudaCliTest : public ::testing::Test {
 protected:
  const TemporaryDirectory folder_;
  const std::string job_ = folder_.write("small.textproto", kSmallJob);
  const std::string output_ = "--output-dir=" + (folder_ / "run");
};

// Where the loader finds no driver, or a driver without a card.
TEST_F(CudaCliTest, TrainingOnAGpuThatIsNotThereEndsWithOneLine) {
  for (const char* where : {"LD_LIBRARY_PATH=", "TRIREME_FAKE_GPUS=0"}) {
    if (std::string_view(where) == "LD_LIBRARY_PATH=" &&
        std::getenv("LD_LIBRARY_PATH") == nullptr && cuda_problem().empty()) {
      continue;  // a machine with a GPU: its driver is found without help
    }
    if (std::string_view(where) != "LD_LIBRARY_PATH=" &&
        std::getenv("LD_LIBRARY_PATH") == nullptr) {
      continue;  // no fake driver to ask
    }
    const auto result = trireme_with({where}, {"train", job_, "--device", "gpu", output_});
    EXPECT_EQ(result.exit_code, 2) << where;
    EXPECT_EQ(lines(result.err), 1) << result.err;
    EXPECT_THAT(result.err,
                AllOf(StartsWith("trireme: --device gpu: "), HasSubstr("--device cpu")));
    EXPECT_EQ(result.out, "");
  }
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
