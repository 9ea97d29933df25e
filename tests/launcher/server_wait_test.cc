// Workers that wait for parameter servers, or for each other there, end when their job does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "tests/launcher/program.h"
#include "tests/launcher/small_disk.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kProgram;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;
using testing::read_text;
using testing::SmallDisk;
using testing::tasks_of;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

const std::string kJob = R"(name: "digits"
data { digits {} take: 1920 validation_take: 128 }
model {
  layers { flatten {} }
  layers { name: "hidden" dense { units: 16 activation: RELU } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} }
batch_size: 64
epochs: 100000
checkpoint { every_steps: 10 keep: 2 }
)";
const std::string kRowsJob = R"(name: "clicks"
data { clicks { examples: 7500 validation_examples: 500 keys: 2000 } }
model { layers { wide_deep { keys: 2000 dimension: 4 deep: 16 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adam {} learning_rate: 0.002 }
batch_size: 250
epochs: 100000
checkpoint { every_steps: 10 keep: 2 }
)";

struct Kind {
  std::string name;
  std::string servers;
  Words train;
  const std::string& job = kJob;
};

Words consistency(const std::string& mode, const Words& more = {}) {
  Words words = {"--strategy", "parameter_server",
                 "--set",      "parameter_servers.dense=" + mode,
                 "--set",      "parameter_servers.sparse=" + mode};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Tasks that end by themselves do so long before they are killed, after 30 s.
constexpr std::chrono::seconds kPromptly{15};

class ServerWaitTest : public ::testing::TestWithParam<Kind> {
 protected:
  Words launch(const std::string& output) {
    const std::string job = folder_.write("job.textproto", GetParam().job);
    Words words = {kProgram,    "launch", "--workers",    "2",   "--ps", GetParam().servers, job,
                   "--threads", "1",      "--output-dir", output};
    words.insert(words.end(), GetParam().train.begin(), GetParam().train.end());
    return words;
  }
  TemporaryDirectory folder_;
};

// The worker that could not save ends the job, also for one that waits for its gradients.
TEST_P(ServerWaitTest, EndsWhenTheDiskOfAnotherWorkerIsFull) {
  const SmallDisk disk(folder_ / "out");
  if (!disk.mounted()) GTEST_SKIP() << "a tmpfs cannot be mounted here (not root?)";
  Process job(launch(folder_ / "out"));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  disk.fill();
  const ProcessResult result = job.wait(kPromptly);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("No space left on device"), Not(HasSubstr("killing"))));
}

// What died says nothing to anybody: the launcher tells the others to stop, which would wait for
// its part of the step.
TEST_P(ServerWaitTest, EndsWhenAnotherWorkerIsKilledForGood) {
  Process job(launch(folder_ / "out"));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  kill(tasks_of(job.pid(), "worker").at(0), SIGKILL);
  const ProcessResult result = job.wait(kPromptly);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("worker 0"), HasSubstr("failed first: killed by SIGKILL"),
                                Not(HasSubstr("killing"))));
}

// A stopped process keeps its connections and answers nobody; both workers wait for it when one of
// them is told to stop.
TEST_P(ServerWaitTest, SavesAndEndsWhenToldToStopWhileAServerIsStopped) {
  Process job(launch(folder_ / "out"));
  ASSERT_TRUE(job.wait_for_error_output("Epoch 2/", 60s));
  kill(tasks_of(job.pid(), "ps").at(0), SIGSTOP);
  EXPECT_TRUE(job.runs_for(300ms));
  kill(tasks_of(job.pid(), "worker").at(1), SIGTERM);
  const ProcessResult result = job.wait(kPromptly);
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("was told to stop by SIGTERM"),
                                HasSubstr("go on with --resume"), Not(HasSubstr("killing"))));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ServerWaitTest,
    ::testing::Values(Kind{"sync", "1", {"--strategy", "parameter_server"}},
                      Kind{"async", "2", consistency("ASYNC")},
                      Kind{"bounded", "2",
                           consistency("BOUNDED", {"--set", "parameter_servers.staleness=4"})},
                      Kind{"hybrid", "2", {"--strategy", "hybrid"}, kRowsJob}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme
