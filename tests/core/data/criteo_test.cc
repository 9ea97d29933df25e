// Click logs in Criteo's format.
#include "core/data/criteo.h"

#include <zlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/core/data/helpers.h"
#include "tests/support/process.h"

namespace trireme::data {
namespace {

using ::testing::HasSubstr;
using trireme::testing::TemporaryDirectory;

const std::string kWords = [] {
  std::string words;
  for (int i = 0; i < kClickCategories; ++i)
    words += "\t0000000" + std::string(1, "0123456789abcdef"[i % 16]);
  return words;
}();
const std::string kNumbers = "\t1\t\t-2\t0\t99\t5\t6\t7\t8\t9\t10\t11\t12";
const std::string kLine = "1" + kNumbers + kWords;

ClickLog read(const std::string& text, const TemporaryDirectory& folder) {
  ClickLog log(1000);
  log.read(folder.write("log.tsv", text));
  return log;
}

// The message, without the folder.
std::string refusal(const std::string& text) {
  const TemporaryDirectory folder;
  const std::string message = message_of([&] { read(text, folder); });
  return message.substr(message.find("log.tsv"));
}

TEST(CriteoTest, ReadsNumbersKeysAndTheLabel) {
  const TemporaryDirectory folder;
  const ClickLog log = read(kLine + "\n0" + kNumbers + kWords, folder);  // no end of the last line
  ASSERT_EQ(log.size(), 2);
  Element element;
  Iterator iterator = log.dataset().iterator();
  ASSERT_TRUE(iterator.next(element));
  EXPECT_EQ(log.dataset().element_spec(), click_spec());
  const auto numbers = element[0].flat<float>();
  EXPECT_FLOAT_EQ(numbers[0], std::log(2.f));
  EXPECT_EQ(numbers[1], 0);  // empty
  EXPECT_EQ(numbers[2], 0);  // negative
  EXPECT_EQ(numbers[3], 0);
  EXPECT_FLOAT_EQ(numbers[4], std::log(100.f));
  const auto keys = element[1].flat<int64_t>();
  for (int64_t column = 0; column < kClickCategories; ++column) {
    const int64_t key = keys[static_cast<size_t>(column)];
    EXPECT_EQ(key / 1000, column);
  }
  // Word 0 stands in columns 0 and 16: as keys of their own.
  EXPECT_NE(keys[0], keys[16] - 16000);
  EXPECT_EQ(element[2].flat<float>()[0], 1);
  ASSERT_TRUE(iterator.next(element));
  EXPECT_EQ(element[2].flat<float>()[0], 0);
}

TEST(CriteoTest, EmptyWordsAreAKeyOfTheirColumn) {
  const TemporaryDirectory folder;
  const ClickLog log = read("0" + kNumbers + std::string(kClickCategories, '\t') + "\r\n", folder);
  ASSERT_EQ(log.size(), 1);
  EXPECT_EQ(log.at(0).keys[3], click_key(3, "", 1000));
}

// Pieces of the file end within lines.
TEST(CriteoTest, ReadsMoreThanOnePieceOfAPackedFile) {
  const TemporaryDirectory folder;
  const std::string path = folder / "log.tsv.gz";
  gzFile file = gzopen(path.c_str(), "wb1");
  constexpr int64_t kLines = 10'000;
  for (int64_t i = 0; i < kLines; ++i) {
    const std::string line = "0\t" + std::to_string(i) + kLine.substr(3) + "\n";
    ASSERT_GT(gzwrite(file, line.data(), static_cast<unsigned>(line.size())), 0);
  }
  gzclose(file);
  ClickLog log(1000);
  log.read(path);
  ASSERT_EQ(log.size(), kLines);
  for (int64_t i = 0; i < kLines; ++i) {
    ASSERT_FLOAT_EQ(log.at(i).numbers[0], std::log(1 + static_cast<float>(i)));
  }
  ClickLog first(1000);
  first.read(path, 7);
  EXPECT_EQ(first.size(), 7);

  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT(message_of([&] { ClickLog(1000).read(path); }),
              HasSubstr("log.tsv.gz: the gzip data is cut off: the file ends at byte "));
}

TEST(CriteoTest, NamesTheSpot) {
  EXPECT_EQ(refusal(kLine + "\n2" + kNumbers), "log.tsv:2:1: expected the label 0 or 1, found '2'");
  EXPECT_EQ(refusal("\n\t"), "log.tsv:2:1: expected the label 0 or 1, found a tab");
  EXPECT_EQ(refusal("1\t1\t2x\t"), "log.tsv:1:6: expected an integer or nothing, found 'x'");
  EXPECT_EQ(refusal("1\t-\t"), "log.tsv:1:4: expected an integer or nothing, found a tab");
  EXPECT_EQ(refusal("1\t1234567890123456789\t"),
            "log.tsv:1:21: expected an integer of at most 18 digits, found '9'");
  EXPECT_EQ(refusal("1\t5"),
            "log.tsv:1:4: expected a tab and the next of 40 fields, found the end of the line");
  EXPECT_EQ(refusal("1" + kNumbers + "\tbeef\txyz\n"),
            "log.tsv:1:" + std::to_string(kNumbers.size() + 8) +
                ": expected a word of hexadecimal digits or nothing, found 'xyz'");
  EXPECT_EQ(refusal("1" + kNumbers + "\t" + std::string(40, 'a')),
            "log.tsv:1:" + std::to_string(kNumbers.size() + 35) +
                ": expected a word of at most 32 digits, found 'aaaaaaaa'");
  EXPECT_EQ(refusal(kLine + "\t1\n"), "log.tsv:1:" + std::to_string(kLine.size() + 1) +
                                          ": expected the end of the line, found a tab");
  EXPECT_THAT(refusal(std::string(size_t{17} << 20, '0')),
              HasSubstr("log.tsv:1:1: expected lines of at most 16 MiB"));
  EXPECT_THAT(message_of([] { ClickLog(10).read("/nowhere/log.tsv"); }),
              HasSubstr("/nowhere/log.tsv: cannot be opened: No such file"));
}

TEST(CriteoTest, EachCategoryNeedsAKey) {
  EXPECT_EQ(keys_per_category(53), 2u);
  EXPECT_THAT(message_of([] { keys_per_category(25); }), HasSubstr("found 25 keys in all"));
  EXPECT_THAT(message_of([] { keys_per_category(int64_t{1} << 40); }), HasSubstr("2^32 - 1"));
}

}  // namespace
}  // namespace trireme::data
