#include "distributed/coordination/job_store.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace trireme {
namespace {

TEST(BulletinTest, CompletesABarrierAgainAndAgain) {
  JobStore job_store;
  job_store.reset(2);
  EXPECT_EQ(job_store.arrive("b", 0), 1);
  EXPECT_EQ(job_store.missing("b", 1), std::vector<int>{1});
  EXPECT_EQ(job_store.arrive("b", 1), 1);
  EXPECT_TRUE(job_store.complete("b", 1));
  EXPECT_EQ(job_store.arrive("b", 1), 2);
  EXPECT_TRUE(job_store.complete("b", 1));
  EXPECT_FALSE(job_store.complete("b", 2));
}

// Who gave up and comes again has come once.
TEST(BulletinTest, TakesBackAnArrival) {
  JobStore job_store;
  job_store.reset(2);
  job_store.arrive("b", 0);
  job_store.withdraw("b", 0);
  EXPECT_EQ(job_store.arrive("b", 0), 1);
  job_store.arrive("b", 1);
  EXPECT_TRUE(job_store.complete("b", 1));
}

TEST(BulletinTest, ForgetsBarriersButNoKeysWithAGeneration) {
  JobStore job_store;
  job_store.reset(2);
  job_store.arrive("b", 0);
  job_store.put("key", "value");
  job_store.reset(1);
  EXPECT_EQ(job_store.arrive("b", 0), 1);
  EXPECT_TRUE(job_store.complete("b", 1));
  EXPECT_EQ(job_store.get("key"), "value");
  EXPECT_FALSE(job_store.get("other"));
}

TEST(BulletinTest, IsBounded) {
  JobStore job_store;
  job_store.reset(2);
  EXPECT_THROW(job_store.arrive("", 0), Error);
  EXPECT_THROW(job_store.arrive(std::string(2000, 'x'), 0), Error);
  EXPECT_THROW(job_store.arrive("b", 2), Error);
  EXPECT_THROW(job_store.arrive("b", -1), Error);
  EXPECT_THROW(job_store.put("", "x"), Error);
  EXPECT_THROW(job_store.put("k", std::string(3 << 20, 'x')), Error);
  // Overwriting does not add up.
  for (int i = 0; i < 300; ++i) job_store.put("k", std::string(1 << 20, 'x'));
  for (int i = 0; i < 255; ++i) job_store.put(std::to_string(i), std::string(1 << 20, 'x'));
  EXPECT_THROW(job_store.put("one more", "x"), Error);
  job_store.put("k", "small");
  job_store.put("one more", "x");
}

}  // namespace
}  // namespace trireme
