#include "core/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace trireme {
namespace {

// The known answers of Random123's distribution (kat_vectors, philox4x32 10 rounds): other
// numbers would be other dropout masks than those of another machine's or version's training.
TEST(PhiloxTest, GivesTheKnownAnswersOfItsAuthors) {
  EXPECT_EQ(philox(0, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint64_t ones = ~uint64_t{0};
  EXPECT_EQ(philox(ones, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0, low words first.
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// 1 would be a number outside the range of a dropout mask's comparison.
TEST(PhiloxTest, UniformNumbersAreAtLeastZeroAndBelowOne) {
  EXPECT_EQ(uniform_float(0), 0.0F);
  EXPECT_LT(uniform_float(~uint32_t{0}), 1.0F);
  PhiloxGenerator generator(7);
  double sum = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) sum += generator.uniform();
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
}

// A shuffle draws below(n): each number must be possible and none outside.
TEST(PhiloxTest, NumbersBelowABoundCoverItEvenly) {
  PhiloxGenerator generator(3, 1);
  std::vector<int> counts(7);
  constexpr int kDraws = 70'000;
  for (int i = 0; i < kDraws; ++i) ++counts.at(generator.below(7));
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 7, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(generator.below(1), 0U);
}

TEST(PhiloxTest, NormalNumbersHaveMeanZeroAndVarianceOne) {
  PhiloxGenerator generator(11);
  double sum = 0, squares = 0;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = generator.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.03);
}

// Two streams of one seed must not repeat each other.
TEST(PhiloxTest, StreamsAndSeedsDiffer) {
  PhiloxGenerator a(1, 0), b(1, 1), c(2, 0), again(1, 0);
  const uint32_t first = a.next();
  EXPECT_NE(first, b.next());
  EXPECT_NE(first, c.next());
  EXPECT_EQ(first, again.next());
}

}  // namespace
}  // namespace trireme
