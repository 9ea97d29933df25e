#include "distributed/coordination/bulletin.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace trireme {
namespace {

TEST(BulletinTest, CompletesABarrierAgainAndAgain) {
  Bulletin bulletin;
  bulletin.reset(2);
  EXPECT_EQ(bulletin.arrive("b", 0), 1);
  EXPECT_EQ(bulletin.missing("b", 1), std::vector<int>{1});
  EXPECT_EQ(bulletin.arrive("b", 1), 1);
  EXPECT_TRUE(bulletin.complete("b", 1));
  EXPECT_EQ(bulletin.arrive("b", 1), 2);
  EXPECT_TRUE(bulletin.complete("b", 1));
  EXPECT_FALSE(bulletin.complete("b", 2));
}

// Who gave up and comes again has come once.
TEST(BulletinTest, TakesBackAnArrival) {
  Bulletin bulletin;
  bulletin.reset(2);
  bulletin.arrive("b", 0);
  bulletin.withdraw("b", 0);
  EXPECT_EQ(bulletin.arrive("b", 0), 1);
  bulletin.arrive("b", 1);
  EXPECT_TRUE(bulletin.complete("b", 1));
}

TEST(BulletinTest, ForgetsBarriersButNoKeysWithAGeneration) {
  Bulletin bulletin;
  bulletin.reset(2);
  bulletin.arrive("b", 0);
  bulletin.put("key", "value");
  bulletin.reset(1);
  EXPECT_EQ(bulletin.arrive("b", 0), 1);
  EXPECT_TRUE(bulletin.complete("b", 1));
  EXPECT_EQ(bulletin.get("key"), "value");
  EXPECT_FALSE(bulletin.get("other"));
}

TEST(BulletinTest, IsBounded) {
  Bulletin bulletin;
  bulletin.reset(2);
  EXPECT_THROW(bulletin.arrive("", 0), Error);
  EXPECT_THROW(bulletin.arrive(std::string(2000, 'x'), 0), Error);
  EXPECT_THROW(bulletin.arrive("b", 2), Error);
  EXPECT_THROW(bulletin.arrive("b", -1), Error);
  EXPECT_THROW(bulletin.put("", "x"), Error);
  EXPECT_THROW(bulletin.put("k", std::string(3 << 20, 'x')), Error);
  // Overwriting does not add up.
  for (int i = 0; i < 300; ++i) bulletin.put("k", std::string(1 << 20, 'x'));
  for (int i = 0; i < 255; ++i) bulletin.put(std::to_string(i), std::string(1 << 20, 'x'));
  EXPECT_THROW(bulletin.put("one more", "x"), Error);
  bulletin.put("k", "small");
  bulletin.put("one more", "x");
}

}  // namespace
}  // namespace trireme
