// Tables: which row is the header and which column is what, what a value may look like, and what is
// said of one that may not be.
#include <cmath>

#include "core/data/csv_table.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CsvTable read(std::string_view text, const CsvOptions& options = {},
              CsvLabel kind = CsvLabel::kNumber) {
  CsvRows rows(csv_text(text), "f.csv", options);
  return read_csv_table(rows, kind, options.missing);
}

std::string error_of(std::string_view text, const CsvOptions& options = {},
                     CsvLabel kind = CsvLabel::kNumber) {
  return message_of([&] { read(text, options, kind); });
}

CsvTransform fit(const CsvTable& table, const CsvOptions& options = {}) {
  return fit_csv_transform(table, table.rows(), CsvLabel::kNumber, options, {}, "f.csv");
}

TEST(CsvTest, ReadsNumbersWithAHeader) {
  const CsvTable table = read("a,b,price\r\n1, 2.5 ,3\r\n-4e-1,+5,6\r\n");
  EXPECT_TRUE(table.schema.has_header);
  EXPECT_THAT(table.schema.features, ElementsAre("a", "b"));
  EXPECT_EQ(table.schema.label, "price");
  EXPECT_THAT(table.features, ElementsAre(1, 2.5, -0.4, 5));
  EXPECT_THAT(table.labels, ElementsAre(3, 6));
  EXPECT_THAT(table.lines, ElementsAre(2, 3));
}

TEST(CsvTest, ReadsQuotesByteOrderMarkAndBlankLines) {
  const CsvTable table = read("\xef\xbb\xbf\"a \"\"big\"\"\nname\",\"b,c\"\n\n\"1\",2\n\n3,\"4\"");
  EXPECT_THAT(table.schema.features, ElementsAre("a \"big\"\nname"));
  EXPECT_EQ(table.schema.label, "b,c");
  EXPECT_THAT(table.labels, ElementsAre(2, 4));
}

// What old spreadsheets write; the whole file would be one line.
TEST(CsvTest, LinesMayEndWithCarriageReturns) {
  const CsvTable table = read("a,b\r1,2\r\r\n3,4\r");
  EXPECT_THAT(table.schema.features, ElementsAre("a"));
  EXPECT_THAT(table.labels, ElementsAre(2, 4));
  EXPECT_EQ(error_of("a,b\r1,2\r3,x\r"), "f.csv:3:3: label \"b\": expected a number, found \"x\"");
}

// Pieces may end anywhere: within a number, a doubled quote, a line end.
TEST(CsvTest, PiecesOfAFileAreReadAsOne) {
  const std::string text = "\"a\"\"x\",b\r\n1.25,-3\r\n\"4\",5e2\r\n";
  for (size_t size = 1; size < text.size(); ++size) {
    // The first piece shows which delimiter it is.
    size_t at = 0;
    const auto pieces = [&]() {
      const std::string_view piece = std::string_view(text).substr(at, at == 0 ? 8 : size);
      at += piece.size();
      return piece;
    };
    CsvRows rows(pieces, "f.csv", {.delimiter = ','});
    const CsvTable table = read_csv_table(rows, CsvLabel::kNumber, CsvMissing::kRefuse);
    EXPECT_THAT(table.schema.features, ElementsAre("a\"x"));
    EXPECT_THAT(table.features, ElementsAre(1.25, 4)) << size;
    EXPECT_THAT(table.labels, ElementsAre(-3, 500)) << size;
  }
}

TEST(CsvTest, FindsTheLabelColumn) {
  for (const std::string label : {"b", "1", "-2"}) {
    const CsvTable table = read("a,b,c\n1,2,3\n", {.label = label});
    EXPECT_EQ(table.schema.label, "b");
    EXPECT_THAT(table.features, ElementsAre(1, 3));
  }
  EXPECT_THAT(read("1,2,3\n", {.label = "0"}).labels, ElementsAre(1));
  EXPECT_EQ(error_of("a,b\n1,2\n", {.label = "z"}),
            "f.csv: expected a label column \"z\", found 2 columns: \"a\", \"b\"");
  EXPECT_THAT(error_of("1,2\n", {.label = "3"}), HasSubstr("2 columns without a header"));
}

TEST(CsvTest, FindsTheDelimiter) {
  for (const char delimiter : {',', ';', '\t', '|'}) {
    std::string text = "a,b\n1,2\n3,4\n";
    std::ranges::replace(text, ',', delimiter);
    EXPECT_THAT(read(text).labels, ElementsAre(2, 4)) << delimiter;
  }
  EXPECT_EQ(read("\"a\nb\";c\n1;2\n").schema.label, "c");
  // Decimal commas are no delimiters, and are told from them.
  EXPECT_THAT(error_of("a;b\n1,5;2\n"), HasSubstr("f.csv:2:1: column \"a\""));
  EXPECT_THAT(error_of("a;b\n1,5;2\n"), HasSubstr("with a point, 1.5"));
  EXPECT_THAT(error_of("a,b;c\n1,2;3\n"), HasSubstr("data.csv.delimiter"));
  EXPECT_THAT(read("a,b;c\n1,2\n", {.delimiter = ','}).schema.label, "b;c");
}

// Years over columns are taken for an example otherwise, and nobody is told.
TEST(CsvTest, AHeaderOfNumbersIsFoundOrAskedFor) {
  EXPECT_THAT(read("id,2019,2020\n1,2,3\n").schema.features, ElementsAre("id", "2019"));
  EXPECT_THAT(error_of("2019,2020,2021\n5,3,4\n"), HasSubstr("data.csv.header: PRESENT or ABSENT"));
  EXPECT_THAT(error_of("0,1,2,3\n5.5,3,4,1\n"), HasSubstr("data.csv.header: PRESENT or ABSENT"));
  EXPECT_THAT(error_of("10,30,20\n1.5,2.5,0.1\n"), HasSubstr("data.csv.header"));
  const CsvOptions present{.header = CsvHeader::kPresent}, absent{.header = CsvHeader::kAbsent};
  EXPECT_EQ(read("2019,2020,2021\n5,3,4\n", present).rows(), 1);
  EXPECT_EQ(read("2019,2020,2021\n5,3,4\n", absent).rows(), 2);
  EXPECT_EQ(read("2015,2030\n5,3\n7,8\n", {.label = "2030"}).rows(), 2);
  const CsvTable plain = read("5,3,4\n1,2,3\n");
  EXPECT_EQ(plain.rows(), 2);
  EXPECT_THAT(plain.note, HasSubstr("no header"));
  EXPECT_FALSE(read("5.1,3.5,setosa\n6,7,virginica\n", {}, CsvLabel::kClass).schema.has_header);
}

TEST(CsvTest, NamesTheSpot) {
  EXPECT_EQ(error_of("a,b\n1,2\n3\n"), "f.csv:3:1: expected 2 fields as in the first row, found 1");
  EXPECT_EQ(error_of("1,2\n3,4,5\n"), "f.csv:2:1: expected 2 fields as in the first row, found 3");
  EXPECT_EQ(error_of("a,b\n1,2\n10,x7\n"),
            "f.csv:3:4: label \"b\": expected a number, found \"x7\"");
  EXPECT_EQ(error_of("1,2\n3,\"4"), "f.csv:2:3: the quote that opens here is never closed");
  EXPECT_EQ(error_of("1,2\n3,\"4\"5\n"),
            "f.csv:2:6: expected ',' or the end of the line after the closing quote");
  EXPECT_EQ(
      error_of("1,2\n3,4\"5\n"),
      "f.csv:2:4: a quote inside a field; put the whole field in quotes and double the quote");
  EXPECT_THAT(error_of("\"a\nb\",c\n1,x\n"), HasSubstr("f.csv:3:3: "));
  EXPECT_EQ(error_of(""), "f.csv: expected a table, found no row");
  EXPECT_EQ(error_of("a,b\n"), "f.csv: expected rows of numbers after the header, found none");
  EXPECT_EQ(error_of("1\n2\n"),
            "f.csv: expected at least 2 columns, a feature and the label, found 1");
  EXPECT_THAT(error_of("a,b,a\n1,2,3\n"), HasSubstr("f.csv:1:5: two columns have the name \"a\""));
  EXPECT_THAT(error_of(std::string_view("a,b\n1,\0\n", 8)),
              HasSubstr("f.csv:2:3: a byte that is zero"));
  EXPECT_THAT(error_of(std::string_view("\xff\xfe"
                                        "a\0,\0",
                                        6)),
              HasSubstr("UTF-16"));
}

TEST(CsvTest, SaysWhatANumberLooksLike) {
  const auto of = [](const std::string& value) { return error_of("a;b\n" + value + ";2\n"); };
  EXPECT_THAT(of("1,5"), HasSubstr("a point, 1.5"));
  EXPECT_THAT(of("1.234,5"), HasSubstr("a point, 1.5"));
  EXPECT_THAT(of("1,234"), HasSubstr("write 1234 or 1.234"));
  EXPECT_THAT(of("1,234.5"), HasSubstr("without commas"));
  EXPECT_THAT(of("1 234"), HasSubstr("without separators"));
  EXPECT_THAT(of("12%"), HasSubstr("without %"));
  EXPECT_THAT(of("inf"), HasSubstr("not finite"));
  EXPECT_THAT(of("1e999"), HasSubstr("too large"));
  EXPECT_THAT(of("0x1F"), HasSubstr("base ten"));
  EXPECT_THAT(of("2024-01-02"), HasSubstr("times as numbers"));
  EXPECT_THAT(read("a;b\n1e-999;2\n").features, ElementsAre(0));
}

TEST(CsvTest, MissingValuesGoByThePolicy) {
  const std::string text = "a,b,y\n1,NA,3\n,5,6\n7,8,9\n4,?,1\n";
  EXPECT_THAT(error_of(text),
              HasSubstr("f.csv:2:3: column \"b\": a value is missing (found \"NA\")"));
  EXPECT_THAT(error_of(text), HasSubstr("DROP, MEAN or VALUE"));
  EXPECT_THAT(error_of("a,y\n,1\n"), HasSubstr("an empty field"));

  const CsvTable dropped = read(text, {.missing = CsvMissing::kDrop});
  EXPECT_THAT(dropped.features, ElementsAre(7, 8));
  EXPECT_EQ(dropped.dropped, 3);

  // The mean of those that are there: 4 of "a", 6.5 of "b".
  const CsvOptions mean{.missing = CsvMissing::kMean};
  const CsvTable table = read(text, mean);
  CsvTransform transform = fit(table, mean);
  transform.scales_features = false;
  std::vector<float> row(2);
  transform.write_features(std::span(table.features).subspan(2, 2), "f", 3, row);
  EXPECT_THAT(row, ElementsAre(4.f, 5.f));
  transform.write_features(std::span(table.features).first(2), "f", 2, row);
  EXPECT_THAT(row, ElementsAre(1.f, 6.5f));

  const CsvOptions value{.missing = CsvMissing::kValue};
  CsvTransform given = fit_csv_transform(read(text, value), 4, CsvLabel::kNumber, value,
                                         {.features = false, .missing_value = -1}, "f.csv");
  given.write_features(std::span(table.features).first(2), "f", 2, row);
  EXPECT_THAT(row, ElementsAre(1.f, -1.f));

  EXPECT_THAT(error_of("a,y\n1,NA\n", mean), HasSubstr("a label cannot be made up"));
  EXPECT_THAT(message_of([&] { fit(read("a,y\nNA,1\n", mean), mean); }),
              HasSubstr("column \"a\" in the 1 training rows: there is no value"));
  EXPECT_THAT(error_of("a,y\nnone,1\n", mean), HasSubstr("expected a number"));
  EXPECT_THAT(
      read("a,y\nnone,1\n2,3\n", {.missing = CsvMissing::kDrop, .missing_words = {"None"}}).labels,
      ElementsAre(3));
}

TEST(CsvTest, LabelsAreWhatTheLossTakes) {
  const CsvTable words = read("a,y\n1,no\n2,yes\n3,no\n", {}, CsvLabel::kBinary);
  EXPECT_THAT(words.classes, ElementsAre("no", "yes"));
  EXPECT_THAT(words.labels, ElementsAre(0, 1, 0));
  const CsvTable species = read("a,y\n1,rose\n2,aster\n3,lily\n", {}, CsvLabel::kClass);
  EXPECT_THAT(species.classes, ElementsAre("aster", "lily", "rose"));
  EXPECT_THAT(species.labels, ElementsAre(2, 0, 1));
  EXPECT_THAT(read("a,y\n1,2\n2,0\n", {}, CsvLabel::kClass).labels, ElementsAre(2, 0));

  EXPECT_EQ(error_of("a,y\n1,1\n2,2\n", {}, CsvLabel::kBinary),
            "f.csv:3:3: label \"y\": expected 0 or 1, as binary cross entropy takes it, found 2");
  EXPECT_EQ(error_of("a,y\n1,2.5\n", {}, CsvLabel::kClass),
            "f.csv:2:3: label \"y\": expected a class, a whole number from 0, found 2.5");
  EXPECT_THAT(error_of("a,y\n1,-1\n", {}, CsvLabel::kClass), HasSubstr("found -1"));
  EXPECT_THAT(
      error_of("a,y\n1,a\n2,b\n3,c\n", {}, CsvLabel::kBinary),
      HasSubstr("f.csv:4:3: label \"y\": expected one of two classes (\"a\", \"b\"), found"));
  EXPECT_THAT(error_of("a,y\n1,a\n2,7\n", {}, CsvLabel::kClass), HasSubstr("found the number 7"));
  EXPECT_THAT(error_of("a,y\n1,7\n2,a\n", {}, CsvLabel::kClass), HasSubstr("found \"a\""));
  EXPECT_THAT(error_of("a,y\n1,a\n2,a\n", {}, CsvLabel::kBinary), HasSubstr("found only \"a\""));
}

// Columns that changed places must not change their meaning.
TEST(CsvTest, OtherFilesAreMatchedByName) {
  const CsvSchema schema = read("a,b,y\n1,2,3\n").schema;
  const auto open = [&](std::string_view text, bool needs_label) {
    return CsvRows(csv_text(text), "g.csv", schema, {}, needs_label);
  };
  CsvRow row;
  CsvRows swapped = open("y;b;a\n3;2;1\n", true);
  ASSERT_TRUE(swapped.next(row));
  EXPECT_THAT(row.features, ElementsAre(1, 2));
  EXPECT_EQ(row.label, "3");
  CsvRows unknown = open("b,a,y\n2,1,\n", false);  // as tables to be filled in have it
  ASSERT_TRUE(unknown.next(row));
  EXPECT_THAT(row.features, ElementsAre(1, 2));
  CsvRows unlabeled = open("b,a\n2,1\n", false);
  EXPECT_FALSE(unlabeled.has_label());
  ASSERT_TRUE(unlabeled.next(row));
  EXPECT_THAT(row.features, ElementsAre(1, 2));

  const auto error = [&](std::string_view text, bool needs_label) {
    return message_of([&] { open(text, needs_label); });
  };
  EXPECT_THAT(error("b,a\n2,1\n", true), HasSubstr("missing \"y\""));
  EXPECT_THAT(error("a,c,y,d\n1,2,3,4\n", false),
              HasSubstr("missing \"b\"; not known \"c\", \"d\""));
  EXPECT_THAT(error("1,2,3\n", false), HasSubstr("has to be the header"));
}

TEST(CsvTest, FilesWithoutAHeaderAreMatchedByPosition) {
  const CsvSchema schema = read("7,1,2\n8,2,3\n", {.label = "0"}).schema;
  CsvRow row;
  CsvRows labeled(csv_text("9,5,6\n"), "g.csv", schema, {}, true);
  ASSERT_TRUE(labeled.next(row));
  EXPECT_THAT(row.features, ElementsAre(5, 6));
  EXPECT_EQ(row.label, "9");
  CsvRows unlabeled(csv_text("5,6\n"), "g.csv", schema, {}, false);
  ASSERT_TRUE(unlabeled.next(row));
  EXPECT_THAT(row.features, ElementsAre(5, 6));
  EXPECT_THAT(message_of([&] { CsvRows(csv_text("1,2,3,4\n"), "g.csv", schema, {}, false); }),
              HasSubstr("found 4 columns"));
  EXPECT_THAT(message_of([&] { CsvRows(csv_text("a,b\n1,2\n"), "g.csv", schema, {}, false); }),
              HasSubstr("remove the header"));
}

// 1.7e9 + k has no place for k in a 32-bit float: all would be one number.
TEST(StandardizationTest, TimesKeepTheirSeconds) {
  std::string text = "t,y\n";
  for (int k = 0; k < 5; ++k) text += std::to_string(1'700'000'000 + k) + ",1\n";
  const CsvTransform transform = fit(read(text));
  EXPECT_EQ(transform.features[0].mean(), 1'700'000'002.0);
  EXPECT_EQ(transform.features[0].deviation, std::sqrt(2.0));  // of -2 … 2
  for (int k = 0; k < 5; ++k) {
    EXPECT_EQ(transform.features[0].apply(1'700'000'000.0 + k), (k - 2) / std::sqrt(2.0));
    EXPECT_EQ(transform.features[0].undo((k - 2) / std::sqrt(2.0)), 1'700'000'000.0 + k);
  }
}

// No deviation is too small or too large as long as the values differ.
TEST(StandardizationTest, HoldsForEveryScale) {
  const std::vector<double> alternating = {0, 1, 1, 0};
  for (const double scale : {1e-300, 1e-15, 1e-9, 1e-6, 1.0, 1e12, 1e300}) {
    for (const double shift : {0.0, 1.0}) {
      std::vector<double> values;
      for (const double v : alternating) values.push_back(shift + v * scale);
      if (values[0] == values[1]) continue;  // one number in 64 bits
      const Standardization s = standardization(values.data(), 4);
      EXPECT_FALSE(s.is_constant) << scale << " " << shift;
      EXPECT_NEAR(s.apply(values[0]), -1, 1e-12) << scale << " " << shift;
      EXPECT_NEAR(s.apply(values[1]), 1, 1e-12) << scale << " " << shift;
    }
  }
  // Neighbours among 64-bit floats: their mean is none.
  const std::vector<double> close = {1, std::nextafter(1.0, 2.0)};
  const Standardization s = standardization(close.data(), 2);
  EXPECT_EQ(s.apply(close[0]), -1);
  EXPECT_EQ(s.apply(close[1]), 1);
  const std::vector<double> far = {-1.7e308, 1.7e308};
  EXPECT_THAT(message_of([&] { standardization(far.data(), 2); }), HasSubstr("further apart"));
}

TEST(StandardizationTest, ConstantColumnsAreNamedAndZero) {
  const CsvTransform transform = fit(read("a,b,y\n0.1,1,3\n0.1,2,4\n0.1,3,5\n"));
  EXPECT_THAT(constant_columns(transform), ElementsAre("a"));
  std::vector<float> row(2);
  const std::vector<double> other = {77, 2};
  transform.write_features(other, "g.csv", 2, row);
  EXPECT_THAT(row, ElementsAre(0.f, 0.f));
  // Two values that differ in their last digit are not constant.
  EXPECT_THAT(constant_columns(fit(read("a,y\n0.1,3\n0.10000000000000002,4\n"))), IsEmpty());
  EXPECT_THAT(indistinct_columns(fit(read("t,y\n1700000000,1\n1700000001,2\n"))), ElementsAre("t"));
}

TEST(StandardizationTest, TheDatasetHasMeanZeroAndVarianceOneOverTheTrainingRows) {
  const CsvTable table = read("a,y\n1,10\n3,20\n5,30\n101,40\n");
  const CsvTransform transform = fit_csv_transform(table, 3, CsvLabel::kNumber, {},
                                                   {.features = true, .label = true}, "f.csv");
  Iterator iterator = csv_dataset(table, transform, "f.csv").batch(4).iterator();
  Element batch;
  ASSERT_TRUE(iterator.next(batch));
  // Means 3 and 20, deviations sqrt(8 / 3) and sqrt(200 / 3): the fourth row is not among them.
  const auto a = [](double v) { return static_cast<float>((v - 3) / std::sqrt(8.0 / 3)); };
  const auto y = [](double v) { return static_cast<float>((v - 20) / std::sqrt(200.0 / 3)); };
  EXPECT_THAT(batch[0].flat<float>(), ElementsAre(a(1), a(3), a(5), a(101)));
  EXPECT_THAT(batch[1].flat<float>(), ElementsAre(y(10), y(20), y(30), y(40)));
}

}  // namespace
}  // namespace trireme::data
