// Made-up click logs.
#include "core/data/clicks.h"

#include <cmath>
#include <filesystem>
#include <map>

#include "tests/core/data/helpers.h"
#include "tests/support/process.h"

namespace trireme::data {
namespace {

using ::testing::HasSubstr;
using trireme::testing::TemporaryDirectory;

void expect_same(const Element& a, const Element& b) {
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(a[i].to_string(), b[i].to_string());
}

TEST(ClicksTest, AnExampleDependsOnSeedAndIndexAlone) {
  const Clicks log({.keys = 26'000, .seed = 3}), again({.keys = 26'000, .seed = 3}),
      other({.keys = 26'000, .seed = 4});
  for (int64_t i : {0, 17, 1'000'000}) {
    EXPECT_EQ(log.draw(i).keys, again.draw(i).keys);
    EXPECT_EQ(log.draw(i).numbers, again.draw(i).numbers);
    EXPECT_EQ(log.probability(i), again.probability(i));
    EXPECT_NE(log.draw(i).keys, other.draw(i).keys);
  }
}

// What is trained on without a file is what a file would give.
TEST(ClicksTest, TheWrittenLogReadsBackAsTheSameExamples) {
  const TemporaryDirectory folder;
  const Clicks log({.keys = 26'000});
  for (const std::string& path : {folder / "log.tsv", folder / "log.tsv.gz"}) {
    const Clicks::Written written = log.write(path, 100, 500);
    EXPECT_EQ(written.examples, 500);
    EXPECT_NEAR(written.bayes_auc.value(), log.bayes_auc(100, 500).value(), 1e-12);
    ClickLog read(log.keys_per_category());
    read.read(path);
    ASSERT_EQ(read.size(), 500);
    Element a, b;
    Iterator left = log.dataset(100, 500).iterator(), right = read.dataset().iterator();
    int64_t clicks = 0;
    while (left.next(a)) {
      ASSERT_TRUE(right.next(b));
      expect_same(a, b);
      clicks += static_cast<int64_t>(a[2].flat<float>()[0]);
    }
    EXPECT_EQ(written.clicks, clicks);
  }
  EXPECT_GT(std::filesystem::file_size(folder / "log.tsv"),
            std::filesystem::file_size(folder / "log.tsv.gz"));
}

// Labels are drawn from the probabilities: in each part of their range as many are clicks as that
// says.
TEST(ClicksTest, LabelsFollowTheProbabilities) {
  const Clicks log({.keys = 260'000});
  constexpr int64_t kExamples = 20'000;
  std::array<double, 10> expected{}, found{}, count{};
  double clicks = 0;
  for (int64_t i = 0; i < kExamples; ++i) {
    const double probability = log.probability(i);
    const auto bin = static_cast<size_t>(probability * 10);
    expected[bin] += probability;
    found[bin] += log.draw(i).label;
    count[bin] += 1;
    clicks += log.draw(i).label;
  }
  for (size_t bin = 0; bin < 10; ++bin) {
    EXPECT_NEAR(found[bin], expected[bin], 4 * std::sqrt(count[bin] / 4) + 1) << bin;
  }
  EXPECT_GT(clicks / kExamples, 0.15);
  EXPECT_LT(clicks / kExamples, 0.4);
  const double auc = log.bayes_auc(0, kExamples).value();
  EXPECT_GT(auc, 0.8);
  EXPECT_LT(auc, 0.92);
}

TEST(ClicksTest, WordsFollowZipfsLaw) {
  const Clicks log({.keys = 26 * 1000, .zipf = 1.1});
  constexpr int64_t kExamples = 20'000;
  std::map<uint32_t, int64_t> count;
  for (int64_t i = 0; i < kExamples; ++i) ++count[log.draw(i).keys[5]];
  std::vector<int64_t> counts;
  for (const auto& [key, n] : count) counts.push_back(n);
  std::ranges::sort(counts, std::greater());
  double norm = 0;
  for (int rank = 1; rank <= 1000; ++rank) norm += std::pow(rank, -1.1);
  // A few words are empty, and words can share a key.
  EXPECT_NEAR(static_cast<double>(counts[0]), kExamples / norm, 0.15 * kExamples / norm);
  EXPECT_NEAR(static_cast<double>(counts[0]) / static_cast<double>(counts[9]), std::pow(10, 1.1),
              5);
  EXPECT_GT(counts.size(), 500u);
}

TEST(ClicksTest, RefusesWhatItCannotDo) {
  EXPECT_THAT(message_of([] { Clicks({.zipf = -1}); }), HasSubstr("a zipf from 0 to 10, found -1"));
  const Clicks log({.keys = 26});
  EXPECT_THAT(message_of([&] { log.write("/nowhere/log.tsv", 0, 1); }),
              HasSubstr("/nowhere/log.tsv: cannot create a file beside it: No such file"));
  if (std::filesystem::exists("/dev/full")) {
    EXPECT_THAT(message_of([&] { log.write("/dev/full", 0, 2000); }), HasSubstr("No space left"));
  }
}

}  // namespace
}  // namespace trireme::data
