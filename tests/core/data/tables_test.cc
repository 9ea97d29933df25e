// Text and tables: labelled text, and the data sets that the program makes itself.
#include <cmath>
#include <filesystem>

#include "core/data/byte_stream.h"
#include "core/data/csv_table.h"
#include "core/data/synthetic.h"
#include "core/data/text.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TextTest, ReadsLabelledLines) {
  const LabeledText text = parse_labeled_text("1\tGood film\r\n\n0\t\n1\ta\tb", 2, "f.tsv");
  ASSERT_EQ(text.size(), 3);
  EXPECT_EQ(text.example(0), "Good film");
  EXPECT_EQ(text.example(1), "");
  EXPECT_EQ(text.example(2), "a\tb");
  EXPECT_THAT(text.labels, ElementsAre(1, 0, 1));
}

TEST(TextTest, NamesTheLine) {
  const auto parse = [](std::string_view text) {
    return message_of([&] { parse_labeled_text(text, 2, "f.tsv"); });
  };
  EXPECT_EQ(parse("1\ta\nb\n"), "f.tsv:2:1: expected \"label<TAB>text\", found no tab");
  EXPECT_EQ(parse("2\ta\n"), "f.tsv:1:1: expected a label from 0 to 1 before the tab, found \"2\"");
  EXPECT_EQ(parse("-1\ta\n"),
            "f.tsv:1:1: expected a label from 0 to 1 before the tab, found \"-1\"");
  EXPECT_EQ(parse("1x\ta\n"),
            "f.tsv:1:1: expected a label from 0 to 1 before the tab, found \"1x\"");
  EXPECT_EQ(parse("\ta\n"), "f.tsv:1:1: expected a label from 0 to 1 before the tab, found \"\"");
  EXPECT_EQ(parse("\n"), "f.tsv: expected lines of \"label<TAB>text\", found none");
}

TEST(TextTest, HashesWords) {
  std::vector<float> out(1000, 7.f), other(1000);
  multi_hot("The ship, the SHIP!", out);
  EXPECT_EQ(std::ranges::count(out, 1.f), 2);
  EXPECT_EQ(std::ranges::count(out, 0.f), 998);
  EXPECT_EQ(out[hash_name("ship") % 1000], 1.f);
  multi_hot("ship the", other);
  EXPECT_EQ(out, other);
  multi_hot("", out);
  EXPECT_EQ(std::ranges::count(out, 0.f), 1000);
}

TEST(TextTest, MakesVectorsInTheBatch) {
  LabeledText text;
  text.add(1, "oars");
  text.add(0, "sail and mast");
  Iterator iterator = multi_hot_dataset(text, 64).batch(2).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  EXPECT_EQ(batch[0].shape(), (Shape{2, 64}));
  EXPECT_EQ(batch[0].flat<float>()[hash_name("oars") % 64], 1.f);
  EXPECT_EQ(batch[0].flat<float>()[64 + hash_name("mast") % 64], 1.f);
  EXPECT_EQ(batch[1].shape(), (Shape{2, 1}));
  EXPECT_THAT(batch[1].flat<float>(), ElementsAre(1.f, 0.f));
  EXPECT_EQ(multi_hot_dataset(text, 64, DType::kInt64).element_spec()[1].shape, Shape{});
  EXPECT_THAT(message_of([&] { multi_hot_dataset(text, 0); }),
              HasSubstr("a vocabulary of 1 to 2^31"));
  EXPECT_THAT(message_of([&] { multi_hot_dataset(text, 4, DType::kBool); }),
              HasSubstr("expected f32 or i64"));
}

// The reviews must be learnable: words that were planted tell the label most of the time, but not
// always.
TEST(SyntheticTest, ReviewsCarryTheirSentiment) {
  const LabeledText reviews = synthetic_reviews(4000, 1), again = synthetic_reviews(4000, 1);
  EXPECT_EQ(reviews.text, again.text);
  EXPECT_NE(reviews.text, synthetic_reviews(4000, 2).text);
  // Naive Bayes on the first half, tested on the second.
  constexpr size_t kWords = 4096;
  std::vector<double> seen[2] = {std::vector<double>(kWords, 1.0),
                                 std::vector<double>(kWords, 1.0)};
  double count[2] = {2, 2};
  std::vector<float> words(kWords);
  int64_t right = 0, good = 0;
  for (int64_t i = 0; i < reviews.size(); ++i) {
    multi_hot(reviews.example(i), words);
    const int label = reviews.labels[static_cast<size_t>(i)];
    good += label;
    double score = 0;
    for (size_t w = 0; w < kWords; ++w) {
      if (words[w] == 0) continue;
      if (i < 2000) seen[label][w] += 1;
      score += std::log(seen[1][w] / count[1]) - std::log(seen[0][w] / count[0]);
    }
    if (i < 2000) count[label] += 1;
    if (i >= 2000 && (score > 0) == (label == 1)) ++right;
  }
  EXPECT_NEAR(static_cast<double>(good) / 4000, 0.5, 0.05);
  EXPECT_GT(right, 2000 * 0.85);
  EXPECT_LT(right, 2000 * 0.99);
}

TEST(SyntheticTest, HousingIsATableOf13Numbers) {
  const std::string path =
      (std::filesystem::temp_directory_path() / "trireme-housing-test.csv").string();
  write_synthetic_housing_csv(path, 500, 3);
  CsvRows rows(csv_file(path), path, {.label = "medv"});
  const CsvTable table = read_csv_table(rows, CsvLabel::kNumber, CsvMissing::kRefuse);
  std::filesystem::remove(path);
  EXPECT_EQ(table.rows(), 500);
  EXPECT_EQ(table.features.size(), 500u * 13);
  EXPECT_EQ(synthetic_housing_csv(500, 3), synthetic_housing_csv(500, 3));
  double sum = 0, squares = 0;
  for (const double price : table.labels) {
    sum += price;
    squares += price * price;
  }
  const double mean = sum / 500, spread = std::sqrt(squares / 500 - mean * mean);
  EXPECT_GT(mean, 15);
  EXPECT_LT(mean, 35);
  EXPECT_GT(spread, 5);
  EXPECT_LT(spread, 14);
  EXPECT_THAT(message_of([] { write_synthetic_housing_csv("/nowhere/at/all.csv", 5, 1); }),
              HasSubstr("/nowhere/at/all.csv: cannot create"));
  EXPECT_THAT(message_of([] { synthetic_housing_csv(0, 1); }), HasSubstr("at least 1 row"));
  EXPECT_THAT(message_of([] { synthetic_reviews(0, 1); }), HasSubstr("a count of at least 1"));
}

}  // namespace
}  // namespace trireme::data
