#include "distributed/coordination/stall_detector.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;

class StallDetectorTest : public ::testing::Test {
 protected:
  StallDetectorTest() {
    std::vector<Peer> peers;
    for (int rank = 0; rank < 4; ++rank) {
      peers.push_back({.rank = rank, .host = "n" + std::to_string(rank), .pid = 10 + rank});
    }
    detector_.reset(peers, now_);
  }
  void waits(int rank, uint64_t sequence, std::chrono::milliseconds for_) {
    detector_.beat(
        rank,
        {.entered = sequence, .finished = sequence - 1, .step = 7, .what = "b", .waiting = for_},
        now_);
  }
  void computes(int rank, uint64_t finished) {
    detector_.beat(rank, {.entered = finished, .finished = finished, .step = 7, .what = "a"}, now_);
  }
  std::string check() {
    const auto report = detector_.check(now_);
    if (!report) return "";
    expired_ = report->expired;
    silent_ = report->silent;
    return report->message;
  }

  StallDetector::Time now_{1h};
  StallDetector detector_{{.warning = 10s, .timeout = 60s, .silence = 2s}};
  bool expired_ = false;
  std::vector<int> silent_;
};

TEST_F(StallDetectorTest, NamesAllThatHaveNotEntered) {
  waits(0, 3, 12s);
  computes(1, 2);
  computes(2, 2);
  waits(3, 3, 5s);
  EXPECT_EQ(check(),
            "rank 1 (host n1, pid 11) and rank 2 (host n2, pid 12) have been missing for 12.0 s "
            "at step 7, b; waiting: ranks 0, 3");
  EXPECT_FALSE(expired_);
}

TEST_F(StallDetectorTest, SaysNothingBeforeTheTime) {
  waits(0, 3, 10s);
  computes(1, 2);
  EXPECT_EQ(check(), "");
}

TEST_F(StallDetectorTest, RepeatsItselfOnlyAfterTheSameTimeAgain) {
  computes(1, 2);
  waits(0, 3, 10100ms);
  EXPECT_NE(check(), "");
  waits(0, 3, 19900ms);
  EXPECT_EQ(check(), "");
  waits(0, 3, 20s);
  EXPECT_NE(check(), "");
  EXPECT_EQ(check(), "");
  // Another collective starts anew.
  computes(1, 3);
  waits(0, 4, 10100ms);
  EXPECT_NE(check(), "");
}

// It has entered the same collective; that it does not beat is all that can be known.
TEST_F(StallDetectorTest, NamesTheStoppedRankInsideTheSameCollective) {
  for (int rank = 0; rank < 4; ++rank) waits(rank, 3, 0s);
  now_ += 11s;
  for (int rank : {0, 1, 3}) waits(rank, 3, 11s);
  EXPECT_EQ(check(),
            "rank 2 (host n2, pid 12) has been missing for 11.0 s at step 7, b; waiting: ranks 0, "
            "1, 3");
  EXPECT_EQ(silent_, std::vector<int>{2});
}

// Rank 0 got its part and went on; it waits for rank 1, which waits for rank 2.
TEST_F(StallDetectorTest, BlamesTheFirstCollectiveNotTheOnesBehindIt) {
  waits(0, 4, 11s);
  waits(1, 3, 11s);
  computes(2, 2);
  waits(3, 3, 11s);
  EXPECT_EQ(check(),
            "rank 2 (host n2, pid 12) has been missing for 11.0 s at step 7, b; waiting: ranks 0, "
            "1, 3");
}

TEST_F(StallDetectorTest, SaysWhenNobodyIsMissing) {
  waits(0, 3, 11s);
  waits(1, 4, 9s);
  computes(2, 4);
  computes(3, 4);
  EXPECT_EQ(check(),
            "a transfer has been stuck for 11.0 s at step 7, b, though every rank has entered it; "
            "waiting: rank 0 (host n0, pid 10) in collective 3 and rank 1 (host n1, pid 11) in "
            "collective 4");
}

TEST_F(StallDetectorTest, SaysWhoHasLeft) {
  for (int rank : {0, 1, 3}) waits(rank, 3, 11s);
  detector_.leave(2);
  EXPECT_EQ(check(),
            "rank 2 (host n2, pid 12) has left and has been missing for 11.0 s at step 7, b; "
            "waiting: ranks 0, 1, 3");
  computes(3, 2);
  for (int rank : {0, 1}) waits(rank, 3, 20s);
  EXPECT_EQ(check(),
            "rank 2 (host n2, pid 12), which has left, and rank 3 (host n3, pid 13) have been "
            "missing for 20.0 s at step 7, b; waiting: ranks 0, 1");
  // It is not expected to beat.
  now_ += 10s;
  for (int rank : {0, 1, 3}) waits(rank, 2, 30s);
  check();
  EXPECT_TRUE(silent_.empty());
}

TEST_F(StallDetectorTest, ExpiresWhateverWasReportedBefore) {
  computes(1, 2);
  waits(0, 3, 59s);
  check();
  EXPECT_FALSE(expired_);
  waits(0, 3, 60100ms);
  EXPECT_NE(check(), "");
  EXPECT_TRUE(expired_);
}

TEST_F(StallDetectorTest, SaysWhereAMemberWas) {
  EXPECT_EQ(detector_.where(0), "before its first collective");
  waits(0, 3, 0s);
  EXPECT_EQ(detector_.where(0), "at step 7, in b");
  computes(0, 3);
  EXPECT_EQ(detector_.where(0), "at step 7, after a");
}

}  // namespace
}  // namespace trireme
