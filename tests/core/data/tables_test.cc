// Text and tables: CSV, labelled text, and the data sets that the program makes itself.
#include <cmath>
#include <filesystem>

#include "core/data/byte_stream.h"
#include "core/data/csv.h"
#include "core/data/synthetic.h"
#include "core/data/text.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CsvTest, ReadsNumbersWithAHeader) {
  const CsvTable table = parse_csv("a,b,price\r\n1, 2.5 ,3\r\n-4e-1,+5,6\r\n", "f.csv");
  EXPECT_THAT(table.columns, ElementsAre("a", "b"));
  EXPECT_EQ(table.label_column, "price");
  EXPECT_EQ(table.features.shape(), (Shape{2, 2}));
  EXPECT_THAT(table.features.flat<float>(), ElementsAre(1.f, 2.5f, -0.4f, 5.f));
  EXPECT_EQ(table.labels.shape(), (Shape{2, 1}));
  EXPECT_THAT(table.labels.flat<float>(), ElementsAre(3.f, 6.f));
  EXPECT_EQ(table.dataset().element_spec()[0].shape, (Shape{2}));
}

TEST(CsvTest, ReadsQuotesByteOrderMarkAndBlankLines) {
  const CsvTable table =
      parse_csv("\xef\xbb\xbf\"a \"\"big\"\"\nname\",\"b,c\"\n\n\"1\",2\n\n3,\"4\"", "f.csv");
  EXPECT_THAT(table.columns, ElementsAre("a \"big\"\nname"));
  EXPECT_EQ(table.label_column, "b,c");
  EXPECT_THAT(table.labels.flat<float>(), ElementsAre(2.f, 4.f));
}

TEST(CsvTest, FindsTheLabelColumn) {
  const std::string text = "a,b,c\n1,2,3\n";
  for (const std::string label : {"b", "1", "-2"}) {
    const CsvTable table = parse_csv(text, "f", {.label = label});
    EXPECT_EQ(table.label_column, "b");
    EXPECT_THAT(table.features.flat<float>(), ElementsAre(1.f, 3.f));
  }
  EXPECT_EQ(parse_csv("1,2,3\n", "f", {.label = "0"}).labels.item<float>(), 1.f);
  EXPECT_EQ(parse_csv("1;2;3\n", "f", {.delimiter = ';'}).labels.item<float>(), 3.f);
  EXPECT_EQ(parse_csv("1,2\n3,4\n", "f", {.header = CsvHeader::kPresent}).labels.item<float>(),
            4.f);
  const CsvTable classes = parse_csv("1,2\n3,4\n", "f", {.label_dtype = DType::kInt64});
  EXPECT_EQ(classes.labels.type(), (TensorType{DType::kInt64, {2}}));
  EXPECT_THAT(classes.labels.flat<int64_t>(), ElementsAre(2, 4));
}

TEST(CsvTest, NamesTheSpot) {
  const auto parse = [](std::string_view text, const CsvOptions& options = {}) {
    return message_of([&] { parse_csv(text, "f.csv", options); });
  };
  EXPECT_EQ(parse("a,b\n1,2\n3\n"), "f.csv:3:1: expected 2 fields as in the first row, found 1");
  EXPECT_EQ(parse("1,2\n3,4,5\n"), "f.csv:2:1: expected 2 fields as in the first row, found 3");
  EXPECT_EQ(parse("a,b,c\n10,,2\n"), "f.csv:2:4: expected a number, found an empty field");
  EXPECT_EQ(parse("a,b\n1,2\n10,x7\n"), "f.csv:3:4: expected a finite number, found \"x7\"");
  EXPECT_EQ(parse("1,nan\n"), "f.csv:1:3: expected a finite number, found \"nan\"");
  EXPECT_EQ(parse("1,2\n1,inf\n"), "f.csv:2:3: expected a finite number, found \"inf\"");
  EXPECT_EQ(parse("1,2\n1,1e99\n"), "f.csv:2:3: expected a finite number, found \"1e99\"");
  EXPECT_EQ(parse("1,2\n1,2 3\n"), "f.csv:2:3: expected a finite number, found \"2 3\"");
  EXPECT_EQ(parse("1,2\n3,\"4"), "f.csv:2:3: the quote that opens here is never closed");
  EXPECT_EQ(parse("1,2\n3,\"4\"5\n"),
            "f.csv:2:6: expected ',' or the end of the line after the closing quote");
  EXPECT_EQ(
      parse("1,2\n3,4\"5\n"),
      "f.csv:2:4: a quote inside a field; put the whole field in quotes and double the quote");
  EXPECT_EQ(parse("\"a\nb\",c\n1,x\n"), "f.csv:3:3: expected a finite number, found \"x\"");
  EXPECT_EQ(parse(""), "f.csv: expected a table, found no row");
  EXPECT_EQ(parse("a,b\n"), "f.csv: expected rows of numbers after the header, found none");
  EXPECT_EQ(parse("1\n2\n"),
            "f.csv: expected at least 2 columns, a feature and the label, found 1");
  EXPECT_EQ(parse("a,b\n1,2\n", {.label = "z"}),
            "f.csv: expected a label column \"z\", found 2 columns: \"a\", \"b\"");
  EXPECT_THAT(parse("1,2\n", {.label = "2"}), HasSubstr("2 columns without a header"));
  EXPECT_EQ(parse("1,2\n1,2.5\n", {.label_dtype = DType::kInt64}),
            "f.csv:2:3: expected a class as a whole number, found \"2.5\"");
  EXPECT_THAT(parse("1,2\n", {.label_dtype = DType::kBool}), HasSubstr("expected f32 or i64"));
}

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
  const CsvTable table = read_csv(path, {.label = "medv"});
  std::filesystem::remove(path);
  EXPECT_EQ(table.features.shape(), (Shape{500, 13}));
  EXPECT_EQ(synthetic_housing_csv(500, 3), synthetic_housing_csv(500, 3));
  double sum = 0, squares = 0;
  for (const float price : table.labels.flat<float>()) {
    sum += price;
    squares += static_cast<double>(price) * price;
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
