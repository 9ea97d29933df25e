#include "distributed/strategy/buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/ops/ops.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;

class BucketsTest : public ::testing::Test {
 protected:
  BucketItem item(const std::string& name, int64_t floats, DType dtype = DType::kFloat32) {
    return {ops::placeholder(graph_, name, dtype, {floats}), name};
  }
  Graph graph_{core_op_table()};
};

TEST_F(BucketsTest, FollowTheOrderInWhichGradientsAreMade) {
  const BucketItem first = item("first", 10), second = item("second", 10),
                   third = item("third", 10);
  const auto buckets = make_buckets({third, first, second}, 40, 80);
  ASSERT_EQ(buckets.size(), 2u);
  EXPECT_THAT(buckets[0].items, ElementsAre(1));
  EXPECT_THAT(buckets[1].items, ElementsAre(2, 0));
  EXPECT_EQ(buckets[0].label, "bucket 0 (first)");
  EXPECT_EQ(buckets[1].label, "bucket 1 (second, third)");
}

TEST_F(BucketsTest, WhatIsLargerThanABucketHasOneToItself) {
  const auto buckets = make_buckets({item("a", 1), item("big", 1000), item("b", 1)}, 100, 100);
  ASSERT_EQ(buckets.size(), 3u);
  EXPECT_THAT(buckets[1].items, ElementsAre(1));
}

TEST_F(BucketsTest, HoldOneTypeEach) {
  const auto buckets =
      make_buckets({item("a", 1), item("b", 1, DType::kFloat64), item("c", 1)}, 1000, 1000);
  ASSERT_EQ(buckets.size(), 2u);
  EXPECT_THAT(buckets[0].items, ElementsAre(0, 2));
  EXPECT_THAT(buckets[1].items, ElementsAre(1));
}

}  // namespace
}  // namespace trireme
