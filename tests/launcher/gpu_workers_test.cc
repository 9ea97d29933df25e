// Several processes with a GPU each: the log of one process on the CPU, over every backend, and
// what happens when one of them is killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "core/device/cuda/cuda.h"
#include "tests/launcher/program.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using testing::expect_close;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kWorkersJob;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::tasks_of;
using Words = std::vector<std::string>;

// Before the driver starts, and for the programs: how many cards the stand-in has.
const bool kTwoCards = setenv("TRIREME_FAKE_GPUS", "2", 0) == 0;

// Rows of an embedding, for servers.
const std::string kClicksJob = R"(name: "clicks"
data { clicks { examples: 1024 validation_examples: 256 keys: 2000 } }
model { layers { dlrm { keys: 2000 dimension: 4 bottom: 8 top: 8 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adagrad {} learning_rate: 0.02 }
metrics: ACCURACY
epochs: 2
batch_size: 128
checkpoint { off: true }
)";

class GpuWorkersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto problem = cuda_problem(); !problem.empty()) GTEST_SKIP() << problem;
    if (cuda_cards().size() < 2) GTEST_SKIP() << "needs two GPUs, found one";
  }
  Words launch(const std::string& name, const Words& options, const Words& more,
               const std::string& job = "workers.textproto") const {
    Words words = {kProgram, "launch", "--workers", "2"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {folder_ / job, "--threads", "1", "--output-dir", folder_ / name});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string log(const std::string& name) const { return read_log(folder_ / name + "/log.csv"); }
  std::string alone(const Words& more = {}, const std::string& job = "workers.textproto") const {
    folder_.write("workers.textproto", kWorkersJob);
    folder_.write("clicks.textproto", kClicksJob);
    Words words = {kProgram, "train",        folder_ / job,     "--threads",
                   "1",      "--output-dir", folder_ / "alone", "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = Process(words).wait(60s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return log("alone");
  }

  const testing::TemporaryDirectory folder_;
};

TEST_F(GpuWorkersTest, EveryBackendFollowsOneProcessOnTheCpu) {
  const std::string expected = alone();
  for (const char* backend : {"auto", "nccl", "nccl+grpc", "grpc", "shm"}) {
    const auto result =
        Process(launch(backend, {},
                       {"--device", "gpu", "--set", std::string("distributed.backend=") + backend}))
            .wait(120s);
    ASSERT_EQ(result.exit_code, 0) << backend << ": " << result.err;
    expect_close(log(backend), expected);
    if (HasFailure()) FAIL() << backend;
  }
}

TEST_F(GpuWorkersTest, ServersFeedThem) {
  const std::string expected = alone({}, "clicks.textproto");
  for (const char* strategy : {"parameter_server", "hybrid"}) {
    const auto result =
        Process(launch(strategy, {"--ps", "1"}, {"--device", "gpu", "--strategy", strategy},
                       "clicks.textproto"))
            .wait(120s);
    ASSERT_EQ(result.exit_code, 0) << strategy << ": " << result.err;
    expect_close(log(strategy), expected);
    if (HasFailure()) FAIL() << strategy;
  }
}

// The other one waits in NCCL, which does not notice: the coordinator does, NCCL is aborted, and
// the step that was under way has changed nothing.
TEST_F(GpuWorkersTest, AKilledWorkerCostsNothing) {
  const Words epochs = {"--set", "epochs=8", "--set", "checkpoint.off=true"};
  const std::string expected = alone(epochs);
  Words more = {"--device", "gpu", "--set", "distributed.backend=nccl"};
  more.insert(more.end(), epochs.begin(), epochs.end());
  Process job(launch("hit", {"--max-restarts", "5"}, more));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 100s));
  const auto workers = tasks_of(job.pid());
  ASSERT_EQ(workers.size(), 2u);
  kill(workers.at(1), SIGKILL);
  const ProcessResult result = job.wait(120s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("1 restart,"));
  expect_close(log("hit"), expected);
}

}  // namespace
}  // namespace trireme
