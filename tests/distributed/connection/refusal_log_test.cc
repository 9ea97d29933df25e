// A flood of refusals makes a bounded number of lines, and none is forgotten.
#include "distributed/connection/refusal_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;

TEST(RefusalLogTest, TellsAFewInFullAndCountsTheRest) {
  std::vector<std::string> lines;
  {
    RefusalLog log("10.0.0.1:7", [&](const std::string& line) { lines.push_back(line); });
    EXPECT_EQ(log.tell(RefusalLog::Clock::now()), RefusalLog::Clock::time_point::max());
    for (int i = 0; i < 1000; ++i) {
      const std::string host = "10.0.1." + std::to_string(i % 100);
      log.add(i % 2 == 0 ? "no secret" : "another job", "its secret is missing", host, host + ":9");
    }
    ASSERT_EQ(lines.size(), 5u);
    EXPECT_EQ(lines[0],
              "refused a connection from 10.0.1.0:9 to 10.0.0.1:7: its secret is missing");
    // Not before the ten seconds are over.
    const auto next = log.tell(RefusalLog::Clock::now());
    EXPECT_GT(next, RefusalLog::Clock::now() + std::chrono::seconds(5));
    EXPECT_EQ(lines.size(), 5u);
    log.tell(next);
    ASSERT_EQ(lines.size(), 7u);
    EXPECT_THAT(lines[5], HasSubstr("refused 498 more connections to 10.0.0.1:7 ("));
    EXPECT_THAT(lines[5], HasSubstr("from others): another job"));
    EXPECT_THAT(lines[6], HasSubstr("refused 497 more connections"));
    log.add("no secret", "", "a", "a:1");
  }
  EXPECT_EQ(lines.size(), 8u);  // told at the end
}

}  // namespace
}  // namespace trireme::testing
