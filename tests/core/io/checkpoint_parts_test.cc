#include "core/io/checkpoint_parts.h"

#include <gmock/gmock.h>

#include "core/base/error.h"

namespace trireme::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

PartsManifest sample() {
  return {.step = 841,
          .job = "127.0.0.1:4000 of today",
          .save = "00c0ffee00c0ffee",
          .changed_since = -1,
          .rows = 12,
          .parts = {{.name = "ckpt-841.ps-00000-of-00002",
                     .index = {.bytes = 812, .crc = 0x0123abcd},
                     .data = {.bytes = 1ULL << 40, .crc = 0xfedcba98}},
                    {.name = "with spaces", .index = {.bytes = 1, .crc = 0}, .data = {}}}};
}

TEST(PartsManifest, ReadsWhatItWrites) {
  const std::string text = format_manifest(sample());
  EXPECT_EQ(parse_manifest("m", text), sample());
  EXPECT_THAT(text, AllOf(HasSubstr("step 841\n"), HasSubstr("job 127.0.0.1:4000 of today\n"),
                          HasSubstr("ckpt-841.ps-00000-of-00002 index 812 0123abcd data "
                                    "1099511627776 fedcba98\n")));
}

// It has a checksum of itself: no byte of it can change, and none can be missing.
TEST(PartsManifest, NoticesEveryChangedByte) {
  const std::string text = format_manifest(sample());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] ^= 1;
    EXPECT_THROW(parse_manifest("m", changed), Error) << i;
    EXPECT_THROW(parse_manifest("m", text.substr(0, i)), Error) << i;
  }
  EXPECT_THROW(parse_manifest("m", text + "step 3\n"), Error);
}

TEST(PartsManifest, SaysWhatIsWrong) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      parse_manifest("rows/ckpt-8.ps", text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message("slots 2\nrows 60\nchanged_since -1\n"),
              AllOf(HasSubstr("rows/ckpt-8.ps"), HasSubstr("had no checksums")));
  EXPECT_THAT(message("no manifest\n"), HasSubstr("rows/ckpt-8.ps:1: expected"));
  EXPECT_THAT(message(""), HasSubstr("rows/ckpt-8.ps:1"));
  std::string text = format_manifest(sample());
  text.replace(text.find("841"), 3, "842");
  EXPECT_THAT(message(text), HasSubstr("the checksum of those before it"));
}

TEST(PartsManifest, RefusesWhatDoesNotFitOnALine) {
  PartsManifest manifest = sample();
  manifest.job = "two\nlines";
  EXPECT_THROW(format_manifest(manifest), Error);
  manifest = sample();
  manifest.parts[0].name = "a\nb";
  EXPECT_THROW(format_manifest(manifest), Error);
}

}  // namespace
}  // namespace trireme::io
