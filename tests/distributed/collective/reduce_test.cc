#include "distributed/collective/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "distributed/collective/host_layout.h"

namespace trireme {
namespace {

template <typename T>
T one(ReduceOp op, T a, T b) {
  T out = T();
  combine(dtype_of<T>, op, &out, &a, &b, 1);
  return out;
}

TEST(ReduceTest, EachOperationCombinesTwoElements) {
  EXPECT_EQ(one(ReduceOp::kSum, 2.5F, 4.0F), 6.5F);
  EXPECT_EQ(one(ReduceOp::kMean, 2.5, 4.0), 6.5);  // divided once, at the end
  EXPECT_EQ(one<int32_t>(ReduceOp::kMin, -7, 3), -7);
  EXPECT_EQ(one<int64_t>(ReduceOp::kMax, -7, 3), 3);
}

TEST(ReduceTest, IntegersWrapAround) {
  EXPECT_EQ(one(ReduceOp::kSum, std::numeric_limits<int32_t>::max(), int32_t{1}),
            std::numeric_limits<int32_t>::min());
}

TEST(ReduceTest, NotANumberWinsOnEitherSide) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMin, ReduceOp::kMax}) {
    EXPECT_TRUE(std::isnan(one(op, nan, 1.0F))) << name(op);
    EXPECT_TRUE(std::isnan(one(op, 1.0F, nan))) << name(op);
  }
}

// The vectorised loop and its tail must round alike: an element's bits may not depend on where it
// is.
TEST(ReduceTest, NarrowTypesAddInF32AndRoundOnce) {
  for (const int64_t count : {1, 7, 8, 9, 64, 1000}) {
    const auto size = static_cast<size_t>(count);
    std::vector<Half> a(size), b(size);
    std::vector<BFloat16> c(size), d(size);
    for (size_t i = 0; i < size; ++i) {
      const auto x = static_cast<float>(i) * 0.37F - 50;
      a[i] = Half(x);
      b[i] = Half(x * x);
      c[i] = BFloat16(x);
      d[i] = BFloat16(x * 3);
    }
    std::vector<Half> half(size);
    std::vector<BFloat16> brain(size);
    combine(DType::kFloat16, ReduceOp::kSum, half.data(), a.data(), b.data(), count);
    combine(DType::kBFloat16, ReduceOp::kSum, brain.data(), c.data(), d.data(), count);
    for (size_t i = 0; i < size; ++i) {
      EXPECT_EQ(half[i].bits, Half(static_cast<float>(a[i]) + static_cast<float>(b[i])).bits);
      EXPECT_EQ(brain[i].bits, BFloat16(static_cast<float>(c[i]) + static_cast<float>(d[i])).bits);
    }
  }
}

TEST(ReduceTest, TheResultMayReplaceEitherOperand) {
  std::vector<float> a(1003, 1.5F), b(1003, 2.0F);
  combine(DType::kFloat32, ReduceOp::kSum, b.data(), a.data(), b.data(), 1003);
  combine(DType::kFloat32, ReduceOp::kSum, a.data(), a.data(), b.data(), 1003);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(b[i], 3.5F);
    EXPECT_EQ(a[i], 5.0F);
  }
}

TEST(ReduceTest, IntegerMeansTruncateTowardsZero) {
  std::vector<int32_t> values = {-7, 7, 8};
  divide_by(DType::kInt32, values.data(), 3, 4);
  EXPECT_EQ(values, (std::vector<int32_t>{-1, 1, 2}));
}

TEST(ReduceTest, OtherTypesAreRefusedByName) {
  uint8_t byte = 1;
  EXPECT_THROW(combine(DType::kUInt8, ReduceOp::kSum, &byte, &byte, &byte, 1), Error);
}

// 1e8 swallows single ones: the order of adding shows in the result.
TEST(ReduceTest, TheTreeAddsNeighboursFirst) {
  const float big = 1e8F;
  std::vector<float> leaves = {big, 1.0F, 3.0F, -big, 2.0F};
  std::vector<const void*> pointers;
  for (const float& leaf : leaves) pointers.push_back(&leaf);
  for (size_t n = 1; n <= leaves.size(); ++n) {
    float expected = leaves[0];
    if (n >= 2) expected = leaves[0] + leaves[1];
    if (n == 3) expected = expected + leaves[2];
    if (n >= 4) expected = expected + (leaves[2] + leaves[3]);
    if (n == 5) expected = expected + leaves[4];
    float out = 0;
    combine_tree(DType::kFloat32, ReduceOp::kSum, &out, std::span(pointers).first(n), 1);
    EXPECT_EQ(out, expected) << n;
  }
}

TEST(ReduceTest, TheTreeMayEndInOneOfItsLeaves) {
  for (size_t n = 2; n <= 9; ++n) {
    for (size_t target = 0; target < n; ++target) {
      std::vector<std::vector<int32_t>> values(n);
      std::vector<const void*> pointers;
      for (size_t r = 0; r < n; ++r) {
        values[r].assign(5000, static_cast<int32_t>(r + 1));
        pointers.push_back(values[r].data());
      }
      combine_tree(DType::kInt32, ReduceOp::kSum, values[target].data(), pointers, 5000);
      EXPECT_EQ(values[target], std::vector<int32_t>(5000, static_cast<int32_t>(n * (n + 1) / 2)));
    }
  }
}

TEST(ReduceTest, BlocksCoverEveryElementOnce) {
  for (const int64_t count : {0, 1, 15, 16, 17, 1009}) {
    for (int ranks = 1; ranks <= 7; ++ranks) {
      const Blocks blocks = even_blocks(count, ranks);
      int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_EQ(blocks.begin(rank), next);
        EXPECT_GE(blocks.size(rank), 0);
        next += blocks.size(rank);
      }
      EXPECT_EQ(next, count);
    }
  }
}

Group on_hosts(const std::string& hosts, int rank) {
  Group group;
  group.rank = rank;
  for (size_t r = 0; r < hosts.size(); ++r) {
    group.peers.push_back({.rank = static_cast<int>(r),
                           .host = hosts.substr(r, 1),
                           .host_id = hosts.substr(r, 1),
                           .pid = 1,
                           .address = ""});
  }
  return group;
}

TEST(HostLayoutTest, NestsInTheTreeWhereHostsHoldEqualPowersOfTwo) {
  for (const char* hosts : {"ab", "aabb", "aaaabbbbccccdddd", "aabbc", "abc", "aaabbb" /* no */,
                            "abab" /* no */, "abb" /* no */, "aaabbb" /* no */}) {
    const HostLayout layout(on_hosts(hosts, 0));
    const std::string text = hosts;
    EXPECT_EQ(layout.nests_in_tree(), text != "aaabbb" && text != "abab" && text != "abb") << text;
  }
}

TEST(HostLayoutTest, FindsTheOwnPlace) {
  const HostLayout layout(on_hosts("abab", 3));
  EXPECT_EQ(layout.my_host, 1);
  EXPECT_EQ(layout.my_index, 1);
  EXPECT_FALSE(layout.leads());
  EXPECT_EQ(layout.mine(), (std::vector<int>{1, 3}));
}

}  // namespace
}  // namespace trireme
