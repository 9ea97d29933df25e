// The parts of core/base that are a function or two.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/base/batch_share.h"
#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/random_fill.h"
#include "core/base/suggest.h"

namespace trireme {
namespace {

using testing::HasSubstr;

// Scripts and launchers decide by the exit code whether a restart helps.
TEST(ErrorTest, ExitCodesSayWhetherARestartHelps) {
  EXPECT_EQ(invalid_argument("x").exit_code(), 2);
  EXPECT_EQ(Error(ErrorCode::kUnavailable, "x").exit_code(), 75);
  EXPECT_EQ(failed("x").exit_code(), 1);
  EXPECT_EQ(Error(ErrorCode::kInternal, "x").exit_code(), 1);
}

TEST(ErrorTest, AFailedCheckNamesItsConditionAndPlace) {
  try {
    const int found = 2;
    TRIREME_CHECK(found == 1, "found ", found);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_THAT(error.what(), HasSubstr("found == 1"));
    EXPECT_THAT(error.what(), HasSubstr("small_parts_test.cc"));
    EXPECT_THAT(error.what(), HasSubstr("found 2"));
  }
}

// A size that wraps around would be a small allocation for a large table.
TEST(CheckedTest, SizesThatDoNotFitAreRefused) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(checked_multiply(1 << 20, 1 << 20, "rows"), int64_t{1} << 40);
  EXPECT_EQ(checked_add(kMost - 1, 1, "rows"), kMost);
  EXPECT_THROW(checked_multiply(kMost, 2, "rows"), Error);
  EXPECT_THROW(checked_add(kMost, 1, "rows"), Error);
}

TEST(SuggestTest, NamesTheNearestAndNothingThatIsFar) {
  const std::vector<std::string> names = {"epochs", "batch_size", "seed"};
  EXPECT_EQ(nearest_name("epoch", names), "epochs");
  EXPECT_EQ(nearest_name("BATCHSIZE", names), "batch_size");
  EXPECT_EQ(nearest_name("learning_rate", names), "");
  EXPECT_EQ(did_you_mean("sead", names), "; did you mean 'seed'?");
  EXPECT_EQ(did_you_mean(std::string(10'000, 'a'), names), "");
}

// Names come from files: they must not move a terminal's cursor.
TEST(SuggestTest, PrintableTextHasNoControlBytesAndAnEnd) {
  EXPECT_EQ(printable("a\x1b[2Jb\n"), "a?[2Jb?");
  EXPECT_LT(printable(std::string(10'000, 'a')).size(), 250U);
}

// Rows that nobody has, or two workers have, would be trained never or twice.
TEST(BatchShareTest, SharesCoverTheRowsOnceAndNest) {
  for (const int64_t rows : {0, 1, 7, 128, 129}) {
    for (const int64_t count : {1, 2, 3, 4, 8, 200}) {
      int64_t at = 0;
      for (int64_t i = 0; i < count; ++i) {
        const RowRange share = batch_share(rows, i, count);
        EXPECT_EQ(share.begin, at);
        EXPECT_LE(std::abs(share.size() - rows / count), 1);
        at = share.end;
      }
      EXPECT_EQ(at, rows);
    }
    for (int64_t i = 0; i < 4; ++i) {
      const RowRange whole = batch_share(rows, i, 4);
      EXPECT_EQ(batch_share(rows, 2 * i, 8).begin, whole.begin);
      EXPECT_EQ(batch_share(rows, 2 * i + 1, 8).end, whole.end);
    }
  }
}

// A parameter server makes one row of a table, a worker the whole of it: the same bytes.
TEST(RandomFillTest, APartHasTheBytesOfTheWhole) {
  for (const auto kind : {RandomFill::Kind::kConstant, RandomFill::Kind::kUniform,
                          RandomFill::Kind::kNormal, RandomFill::Kind::kTruncatedNormal}) {
    const RandomFill fill{.kind = kind, .a = -0.5, .b = 0.5, .key = 42};
    std::vector<float> whole(64), part(9);
    fill_random(fill, 0, whole);
    for (const size_t first : {0, 1, 2, 3, 4, 31, 55}) {
      fill_random(fill, first, part);
      EXPECT_EQ(part, std::vector<float>(whole.begin() + static_cast<int64_t>(first),
                                         whole.begin() + static_cast<int64_t>(first) + 9));
    }
  }
}

TEST(ParallelForTest, CoversTheRangeOnceAndPassesExceptionsOn) {
  std::vector<std::atomic<int>> seen(10'007);
  parallel_for(static_cast<int64_t>(seen.size()), 16, [&](int64_t begin, int64_t end) {
    EXPECT_LT(begin, end);
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  for (const auto& count : seen) ASSERT_EQ(count.load(), 1);
  parallel_for(0, 1, [](int64_t, int64_t) { FAIL() << "nothing is to be done"; });
  EXPECT_THROW(parallel_for(1000, 1,
                            [](int64_t begin, int64_t) {
                              if (begin == 0) throw failed("x");
                            }),
               Error);
}

}  // namespace
}  // namespace trireme
