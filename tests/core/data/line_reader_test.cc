// Lines of text under the rules that hold for every text format.
#include "core/data/line_reader.h"

#include <sys/resource.h>

#include <ctime>

#include "core/data/criteo.h"
#include "core/data/text.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Lines = std::vector<std::string>;

Lines lines_of(LineReader reader) {
  Lines lines;
  for (std::string_view line; reader.next(line);) {
    lines.emplace_back(line);
    EXPECT_EQ(reader.number(), static_cast<int64_t>(lines.size()));
  }
  return lines;
}
Lines lines_of(std::string_view text) { return lines_of(LineReader(text, "f")); }
// The same lines, taken from blocks.
Lines lines_of_blocks(LineReader reader) {
  Lines lines;
  for (std::string_view block = reader.next_block(); !block.empty(); block = reader.next_block()) {
    while (!block.empty()) {
      const size_t end = std::min(block.find('\n'), block.size());
      lines.emplace_back(block.substr(0, end));
      block.remove_prefix(std::min(end + 1, block.size()));
    }
    EXPECT_EQ(reader.number(), static_cast<int64_t>(lines.size()));
  }
  return lines;
}
std::string refusal(std::string_view text) {
  const std::string refused = message_of([&] { lines_of(text); });
  EXPECT_EQ(message_of([&] { lines_of_blocks(LineReader(text, "f")); }), refused);
  return refused;
}

using LineReaderTest = FileTest;

// Old Macs, Windows and everybody else; editors mix them.
TEST_F(LineReaderTest, EveryLineEndEndsALine) {
  EXPECT_THAT(lines_of("a\nb\nc\n"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(lines_of("a\r\nb\r\nc\r\n"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(lines_of("a\rb\rc\r"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(lines_of("a\rb\nc\r\nd"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(lines_of("a\n\nb\r\r\n\rc"), ElementsAre("a", "", "b", "", "", "c"));
  EXPECT_THAT(lines_of(""), ElementsAre());
  EXPECT_THAT(lines_of("\n"), ElementsAre(""));
  EXPECT_THAT(lines_of("\r\n"), ElementsAre(""));
  for (const char* text : {"a\rb\nc\r\nd", "a\n\nb\r\r\n\rc", "", "\n", "\r\n", "\r", "a"}) {
    EXPECT_EQ(lines_of_blocks(LineReader(std::string_view(text), "f")), lines_of(text));
  }
}

// The parts of a line and of its end may come in different pieces of the file.
TEST_F(LineReaderTest, PiecesOfAFileMayEndAnywhere) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    std::string text;
    Lines expected;
    // Lines of odd lengths around a megabyte in all: the pieces' ends fall on all their bytes.
    for (size_t i = 0; text.size() < (size_t{3} << 20); ++i) {
      expected.emplace_back(i % 977, static_cast<char>('a' + i % 26));
      text += expected.back() + end;
    }
    for (size_t shift = 0; shift < 3; ++shift) {
      expected[0] = std::string(shift, '.');
      const std::string shifted = expected[0] + text;
      EXPECT_EQ(lines_of(LineReader(write("f", bytes_of(shifted)))), expected);
      EXPECT_EQ(lines_of(LineReader(write("f.gz", gzip(shifted, 1)))), expected);
      EXPECT_EQ(lines_of_blocks(LineReader(path("f"))), expected);
    }
  }
}

// A file without any LF must not be searched for one again for every line.
TEST_F(LineReaderTest, LinesThatEndWithCrAreReadInLinearTime) {
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "1\r";
  LineReader reader(text, "f");
  std::string_view line;
  int64_t count = 0;
  const std::clock_t begin = std::clock();
  while (reader.next(line)) ++count;
  EXPECT_EQ(count, 1'000'000);
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 5);  // else minutes
}

TEST_F(LineReaderTest, SkipsAByteOrderMarkOfUtf8) {
  EXPECT_THAT(lines_of("\xef\xbb\xbf"
                       "a\nb"),
              ElementsAre("a", "b"));
  EXPECT_THAT(lines_of("\xef\xbb\xbf"), ElementsAre());
  EXPECT_THAT(lines_of(LineReader(write("f", gzip("\xef\xbb\xbf"
                                                  "a\rb")))),
              ElementsAre("a", "b"));
  // Later in the file it is text: two files were put together.
  EXPECT_THAT(lines_of("a\n\xef\xbb\xbf"
                       "b"),
              ElementsAre("a",
                          "\xef\xbb\xbf"
                          "b"));
}

TEST_F(LineReaderTest, RefusesOtherEncodingsByName) {
  using namespace std::string_view_literals;
  EXPECT_EQ(refusal("\xff\xfe"
                    "1\0,\0"sv),
            "f: expected text in UTF-8, found UTF-16; `iconv -f UTF-16 -t UTF-8` converts it");
  EXPECT_THAT(refusal("\xfe\xff\0"
                      "1"sv),
              HasSubstr("found UTF-16"));
  EXPECT_THAT(refusal("\xff\xfe\0\0"
                      "1\0\0\0"sv),
              HasSubstr("found UTF-32"));
  EXPECT_THAT(refusal("\0\0\xfe\xff\0\0\0"
                      "1"sv),
              HasSubstr("found UTF-32"));
}

// UTF-16 without a mark, or a binary file.
TEST_F(LineReaderTest, NamesTheLineAndColumnOfANulByte) {
  using namespace std::string_view_literals;
  EXPECT_EQ(
      refusal("1,2\r3,\0"sv),
      "f:2:3: expected text in UTF-8, found a NUL byte: this is another encoding, or no text");
  EXPECT_THAT(refusal("\xef\xbb\xbf"
                      "1\0"sv),
              HasSubstr("f:1:2: "));
  EXPECT_THAT(refusal("\0"sv), HasSubstr("f:1:1: "));
}

TEST_F(LineReaderTest, RefusesALineThatIsTooLong) {
  EXPECT_THAT(lines_of(LineReader(std::string_view("1234\n1234"), "f", 4)),
              ElementsAre("1234", "1234"));
  EXPECT_EQ(message_of([] { lines_of(LineReader(std::string_view("1\n12345\n"), "f", 4)); }),
            "f:2:1: expected lines of at most 4 bytes, found a longer one");
  const std::string long_line(kMaxLineBytes, 'x');
  EXPECT_EQ(lines_of(LineReader(long_line + "\n", "f")).size(), 1u);
  EXPECT_EQ(refusal("1\n" + long_line + "x"),
            "f:2:1: expected lines of at most 16 MiB, found a longer one");
}

// What a packed file unpacks to is never held as a whole: 192 MiB of these are 200 KiB on the disk.
TEST_F(LineReaderTest, APackedFileTakesNoMoreMemoryThanItsData) {
  const auto peak_kib = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const auto bomb = [&](const std::string& name, const std::string& begin, char fill) {
    Bytes packed = gzip(begin);
    const Bytes block = gzip(std::string(size_t{64} << 20, fill), 9);
    for (int i = 0; i < 3; ++i) packed = packed + block;
    return write(name, packed);
  };
  const std::string zeros = bomb("zeros.gz", "", '\0');
  const std::string one_line = bomb("line.gz", "0\t", 'x');
  const std::string blank = bomb("blank.gz", "1\tgood\n", '\n');
  const auto before = peak_kib();
  EXPECT_THAT(message_of([&] { read_labeled_text(zeros, 2); }), HasSubstr("zeros.gz:1:1: "));
  EXPECT_THAT(message_of([&] { read_labeled_text(one_line, 2); }), HasSubstr("at most 16 MiB"));
  EXPECT_THAT(message_of([&] { ClickLog(1000).read(zeros); }), HasSubstr("zeros.gz:1:1: "));
  EXPECT_THAT(message_of([&] { read_text(one_line, 1 << 20, "a job file"); }),
              HasSubstr("expected a job file of at most 1 MiB, found more"));
  EXPECT_EQ(read_labeled_text(blank, 2).size(), 1);
  EXPECT_LT(peak_kib() - before, 48 << 10) << "192 MiB were unpacked";
}

TEST_F(LineReaderTest, AWholeShortTextHasTheSameRules) {
  EXPECT_EQ(read_text(write("f", bytes_of("\xef\xbb\xbf"
                                          "a\r\nb\rc")),
                      100, "a text"),
            "a\nb\nc");
  EXPECT_EQ(read_text(write("f", gzip("a\r\nb\r")), 100, "a text"), "a\nb\n");
  EXPECT_THAT(
      message_of([&] { read_text(write("f", bytes_of(std::string("a\r\nbc\0", 6))), 9, ""); }),
      HasSubstr("/f:2:3: expected text in UTF-8, found a NUL byte"));
  EXPECT_THAT(message_of([&] { read_text(write("f", bytes_of("12345")), 4, "a text"); }),
              HasSubstr("expected a text of at most 4 bytes, found 5 bytes"));
}

}  // namespace
}  // namespace trireme::data
