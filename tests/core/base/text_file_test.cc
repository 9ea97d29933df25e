// Short texts under the rules that hold for every text.
#include "core/base/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/process.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using namespace std::string_view_literals;

std::string refusal(std::string_view bytes) {
  try {
    normalize_text(std::string(bytes), "f");
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(TextFileTest, LineEndsBecomeLf) {
  EXPECT_EQ(normalize_text("a\r\nb\rc\n\r\r\nd", "f"), "a\nb\nc\n\n\nd");
  EXPECT_EQ(normalize_text("a\r", "f"), "a\n");
  EXPECT_EQ(normalize_text("", "f"), "");
}

TEST(TextFileTest, OnlyAMarkOfUtf8IsSkipped) {
  EXPECT_EQ(normalize_text("\xef\xbb\xbf"
                           "a\xef\xbb\xbf",
                           "f"),
            "a\xef\xbb\xbf");
  EXPECT_THAT(refusal("\xff\xfe"
                      "a\0"sv),
              HasSubstr("found UTF-16; `iconv -f UTF-16 -t UTF-8`"));
  EXPECT_THAT(refusal("\xff\xfe\0\0"sv), HasSubstr("found UTF-32"));
}

TEST(TextFileTest, ANulByteIsNamedWithLineAndColumn) {
  EXPECT_THAT(refusal("\0"sv), HasSubstr("f:1:1: "));
  EXPECT_THAT(refusal("\xef\xbb\xbf"
                      "ab\r\ncd\re\0"sv),
              HasSubstr("f:3:2: "));
  EXPECT_THAT(refusal("a\r\0"sv), HasSubstr("f:2:1: "));
}

TEST(TextFileTest, APackedFileIsRefusedByItsPacker) {
  const testing::TemporaryDirectory folder;
  try {
    read_text_file(folder.write("key", "\x1f\x8b\x08"), 100, "a secret");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("/key: expected a secret as plain text, found a file packed with gzip"));
  }
}

}  // namespace
}  // namespace trireme
