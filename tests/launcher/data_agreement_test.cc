// Workers that read different data do not train together: with real processes, whose files lie in a
// folder of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

const std::string kJob = R"(name: "table"
data { csv { file: "table.csv" } }
model { layers { dense { units: 1 } } }
loss: MEAN_SQUARED_ERROR
optimizer { sgd {} }
epochs: 1
batch_size: 50
distributed { join_timeout_s: 30 }
)";

std::string table(int rows, int changed = -1) {
  std::string text = "a,b,y\n";
  for (int i = 0; i < rows; ++i) {
    text += std::to_string(i % 7) + "," + std::to_string(i == changed ? 9 : i % 5) + "," +
            std::to_string(i % 3) + "\n";
  }
  return text;
}

class DataAgreementTest : public ::testing::Test {
 protected:
  // Two workers, each with its own table.
  ProcessResult train(const std::string& first, const std::string& second,
                      const Words& servers = {}, const std::string& more = "") {
    const std::string job = folder_.write("table.textproto", kJob);
    for (const std::string rank : {"0", "1"}) {
      std::filesystem::create_directories(folder_ / ("data-" + rank));
      folder_.write("data-" + rank + "/table.csv", rank == "0" ? first : second);
    }
    std::filesystem::remove_all(folder_ / "out");
    Words words = {kProgram, "launch", "--workers", "2"};
    words.insert(words.end(), servers.begin(), servers.end());
    const Words rest = {"--log-dir",
                        folder_ / "logs",
                        "--",
                        "/bin/sh",
                        "-c",
                        "exec " + kProgram + " train " + job + " --threads 1 --data-dir " +
                            (folder_ / "data-") + "$TRIREME_RANK --output-dir " +
                            (folder_ / "out") + more};
    words.insert(words.end(), rest.begin(), rest.end());
    return Process(words).wait(60s);
  }
  void expect_refused(const ProcessResult& result, const std::string& field) {
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_THAT(result.err, HasSubstr(field));
    EXPECT_THAT(result.err, HasSubstr("on the same data"));
    EXPECT_EQ(result.out, "");
  }

  TemporaryDirectory folder_;
};

TEST_F(DataAgreementTest, EqualFilesInOtherFoldersAreTheSameData) {
  const ProcessResult result = train(table(1000), table(1000));
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

// It would train along, and the losses would be those of no data set.
TEST_F(DataAgreementTest, AWorkerWithFewerRowsIsRefused) {
  expect_refused(train(table(1000), table(990)), "data.csv.file");
}

// As many rows, and as many bytes.
TEST_F(DataAgreementTest, AWorkerWithAnotherDigitIsRefused) {
  expect_refused(train(table(1000), table(1000, 500)), "data.csv.file");
}

// These workers have no group whose handshake could tell. How many steps there are is the servers'
// business too, and they may say it first.
TEST_F(DataAgreementTest, WorkersOfParameterServersAreComparedToo) {
  const std::string loose = " --strategy parameter_server --set parameter_servers.dense=ASYNC";
  expect_refused(train(table(1000), table(1000, 500), {"--ps", "1"}, loose), "data.csv.file");
  expect_refused(train(table(1000), table(990), {"--ps", "1"}, loose), "data.csv.file");
  expect_refused(train(table(1000), table(600), {"--ps", "1"}, loose), "steps_per_epoch: ");
}

}  // namespace
}  // namespace trireme
