// A job of the real program whose coordinator's port is under attack while it trains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/launcher/program.h"
#include "tests/support/free_ports.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

TEST(AttackedJobTest, TrainsToTheEnd) {
  const TemporaryDirectory folder;
  const std::string port = std::to_string(free_ports());
  std::vector<std::unique_ptr<Process>> attackers;
  for (const char* kind : {"idle", "unfinished", "half", "wrong"}) {
    attackers.push_back(std::make_unique<Process>(Words{ATTACKER, kind, port, "150", "job"}));
  }
  for (const auto& attacker : attackers) {
    ASSERT_TRUE(attacker->wait_for_error_output("attacking", 20s));
  }
  const std::string job = folder.write("job.textproto", kSmallJob);
  Process launch(
      {kProgram, "launch", "--workers", "2", "--port", port, "--log-dir", folder / "logs", job,
       "--output-dir", folder / "out", "--set", "distributed.backend=grpc"},
      {"OMP_NUM_THREADS=1"});
  const ProcessResult result = launch.wait(100s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"workers\":2"));
  EXPECT_THAT(result.err, HasSubstr("refused a connection from 127.0.0.1:"));
  size_t lines = 0;
  for (size_t at = 0; (at = result.err.find("refused", at)) != std::string::npos; ++at) ++lines;
  EXPECT_LE(lines, 60u) << result.err;
}

}  // namespace
}  // namespace trireme::testing
