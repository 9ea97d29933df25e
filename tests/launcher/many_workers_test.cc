// Large groups of real workers over gRPC: the losses of one process, in a bounded time, and few
// connections each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_log;
using testing::TemporaryDirectory;

// Three steps an epoch. Each worker draws its own share of the 60,000 digits.
const std::string kManyWorkersJob = R"(name: "many_workers"
data { digits {} validation_take: 256 }
model {
  layers { flatten {} }
  layers { dense { units: 32 activation: RELU } }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { sgd {} learning_rate: 0.1 }
metrics: ACCURACY
batch_size: 20480
distributed { backend: "grpc" }
)";

// How many connections each task has to another one: those of which both ends are tasks'.
std::map<int, int> connections_between(const std::map<int, pid_t>& tasks) {
  using Ends = std::pair<std::string, std::string>;  // local, remote
  std::map<std::string, Ends> by_socket;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::stringstream words(line);
    std::string number, local, remote, state, skipped, socket;
    words >> number >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) words >> skipped;
    words >> socket;
    if (state == "01") by_socket["socket:[" + socket + "]"] = {local, remote};  // established
  }
  std::map<int, std::set<Ends>> ends;
  std::set<Ends> all;
  for (const auto& [rank, pid] : tasks) {
    std::error_code gone;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
      const auto found = by_socket.find(std::filesystem::read_symlink(entry.path(), gone));
      if (found == by_socket.end()) continue;
      ends[rank].insert(found->second);
      all.insert(found->second);
    }
  }
  std::map<int, int> counts;
  for (const auto& [rank, mine] : ends) {
    counts[rank] = static_cast<int>(std::ranges::count_if(mine, [&](const Ends& end) {
      return all.contains({end.second, end.first});
    }));
  }
  return counts;
}

void train_like_one_process(int workers, int epochs, std::chrono::seconds limit) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("many_workers.textproto", kManyWorkersJob);
  const std::string alone = folder / "alone", many = folder / "many";
  const std::string set_epochs = "epochs=" + std::to_string(epochs);
  const ProcessResult one = testing::trireme_run(
      {"train", job, "--threads", "1", "--output-dir", alone, "--set", set_epochs});
  ASSERT_EQ(one.exit_code, 0) << one.err;

  const auto start = std::chrono::steady_clock::now();
  Process launcher({kProgram, "launch", "--workers", std::to_string(workers), job, "--threads", "1",
                    "--output-dir", many, "--set", set_epochs});
  std::map<int, int> most;
  while (launcher.runs_for(200ms) && std::chrono::steady_clock::now() - start < limit) {
    const auto tasks = testing::tasks_of(launcher.pid());
    for (const auto& [rank, count] : connections_between(tasks)) {
      most[rank] = std::max(most[rank], count);
    }
  }
  const ProcessResult result = launcher.wait(10s);
  const auto took = std::chrono::steady_clock::now() - start;
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(took, limit);
  EXPECT_THAT(result.out, HasSubstr("\"workers\":" + std::to_string(workers)));

  const auto expected = numbers(read_log(alone + "/log.csv"));
  const auto found = numbers(read_log(many + "/log.csv"));
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 1; i < found.size(); i += 5) {
    EXPECT_NEAR(found[i], expected[i], 1e-4 * std::abs(expected[i]));
  }

  int seen = 0;
  for (const auto& [rank, count] : most) {
    seen = std::max(seen, count);
    EXPECT_LE(count, 2 * std::log2(workers) + 4) << "rank " << rank;
  }
  EXPECT_GT(seen, 2) << "they were never seen connected";
  ::testing::Test::RecordProperty("most_connections", seen);
}

TEST(ManyWorkersTest, ThirtyThreeWorkersTrainLikeOneProcess) { train_like_one_process(33, 2, 60s); }

// What a group of n(n-1)/2 connections never did on two cores.
TEST(ManyWorkersTest, TwoHundredAndFiftySixWorkersTrainLikeOneProcessWithinAMinute) {
  train_like_one_process(256, 1, 60s);
}

}  // namespace
}  // namespace trireme
