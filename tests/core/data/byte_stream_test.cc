// The bytes of files, packed and not, under the rules that hold for every format.
#include "core/data/byte_stream.h"

#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

// All of a stream, read in pieces of `piece` bytes.
std::string all_of(ByteStream stream, size_t piece = 1000) {
  std::string text;
  Bytes buffer(piece);
  for (;;) {
    const size_t got = stream.read(buffer);
    text.append(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(got));
    if (got < piece) {
      EXPECT_EQ(stream.read(buffer), 0u) << "the end stays the end";
      return text;
    }
  }
}
std::string unpacked(const Bytes& bytes, size_t piece = 1000) {
  return all_of(ByteStream(bytes, "f.gz"), piece);
}
std::string refusal(const Bytes& bytes) {
  return message_of([&] { unpacked(bytes); });
}

using ByteStreamTest = FileTest;

// A name may be wrong, the first bytes are not.
TEST_F(ByteStreamTest, ReadsPlainAndPackedWhateverTheName) {
  const Bytes text = bytes_of("hello, rowers");
  EXPECT_EQ(all_of(ByteStream(write("plain.gz", text))), "hello, rowers");
  EXPECT_EQ(all_of(ByteStream(write("packed", gzip(text)))), "hello, rowers");
  EXPECT_EQ(all_of(ByteStream(write("empty", {}))), "");
  EXPECT_EQ(all_of(ByteStream(write("empty.gz", gzip("")))), "");
  EXPECT_EQ(all_of(ByteStream(write("short", {0x1f}))), "\x1f");
  EXPECT_EQ(unpacked(gzip(text)), "hello, rowers");
  EXPECT_EQ(unpacked(text), "hello, rowers");
}

// `cat a.gz b.gz` is a gzip file; bgzip and pigz write hundreds of members.
TEST_F(ByteStreamTest, ReadsAllMembers) {
  Bytes large(3 << 20);
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<uint8_t>(i * i >> 7);
  const std::string file = write("members.gz", gzip(large) + gzip("") + gzip("end"));
  EXPECT_EQ(all_of(ByteStream(file), 777), std::string(large.begin(), large.end()) + "end");
  Bytes many;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    many = many + gzip(std::to_string(i), i % 10);
    expected += std::to_string(i);
  }
  EXPECT_EQ(unpacked(many, 7), expected);
}

// Tapes and block devices pad with zeros; Python's gzip goes on behind them, `gzip -d` skips them.
TEST_F(ByteStreamTest, SkipsZeroPadding) {
  for (const size_t zeros : {1, 511, 300'000}) {
    EXPECT_EQ(unpacked(gzip("all") + Bytes(zeros)), "all");
    EXPECT_EQ(unpacked(gzip("one, ") + Bytes(zeros) + gzip("two") + Bytes(3)), "one, two");
    EXPECT_EQ(all_of(ByteStream(write("f.gz", gzip("all") + Bytes(zeros)))), "all");
  }
}

// Bytes that are no member are a damaged copy or a wrong file: dropped, they would be lost data.
TEST_F(ByteStreamTest, RefusesOtherBytesBehindAMember) {
  const Bytes packed = gzip("some text");
  const auto size = packed.size();
  EXPECT_EQ(refusal(packed + bytes_of("more")),
            str_cat("f.gz: expected the end or another gzip member at byte ", size,
                    ", found other bytes; remove them, or copy the file anew"));
  EXPECT_EQ(refusal(packed + Bytes(40) + bytes_of("more")),
            str_cat("f.gz: expected the end or another gzip member at byte ", size + 40,
                    ", behind zero bytes, found other bytes; remove them, or copy the file anew"));
  EXPECT_THAT(refusal(packed + bytes_of("\x1fzz")),
              HasSubstr(str_cat("at byte ", size, ", found")));
}

TEST_F(ByteStreamTest, NamesTheByteWhereAFileIsCutOff) {
  const Bytes packed = gzip("some words to be packed, some words to be damaged");
  const Bytes two = gzip("first") + packed;
  const size_t first = two.size() - packed.size();
  for (size_t size = 2; size < packed.size(); ++size) {
    const auto end = static_cast<ptrdiff_t>(size);
    EXPECT_EQ(refusal({packed.begin(), packed.begin() + end}),
              str_cat("f.gz: the gzip data is cut off: the file ends at byte ", size,
                      " inside a member; copy it anew"));
    EXPECT_THAT(refusal({two.begin(), two.begin() + static_cast<ptrdiff_t>(first + size)}),
                HasSubstr(str_cat("ends at byte ", first + size, " inside")));
  }
}

// A flipped bit in the check sum or the length is damage like one in the data.
TEST_F(ByteStreamTest, VerifiesCheckSumAndLengthOfEveryMember) {
  const Bytes packed = gzip("some words to be packed, some words to be damaged");
  for (const size_t from_end : {1, 5, 8}) {
    Bytes damaged = packed;
    damaged[packed.size() - from_end] ^= 0x10;
    EXPECT_THAT(refusal(damaged),
                ::testing::MatchesRegex("f.gz: the gzip data is damaged at byte [0-9]+ "
                                        ".incorrect (data|length) check.; copy it anew"));
    EXPECT_THAT(refusal(damaged + packed), HasSubstr("damaged at byte"));
  }
}

// Before, these were read as text or numbers and refused somewhere inside.
TEST_F(ByteStreamTest, RefusesOtherPackersByName) {
  EXPECT_EQ(refusal({0xfd, '7', 'z', 'X', 'Z', 0, 1}),
            "f.gz: expected a plain file or one packed with gzip, found xz; unpack it first");
  EXPECT_THAT(refusal({0x28, 0xb5, 0x2f, 0xfd, 0}), HasSubstr("found zstd"));
  EXPECT_THAT(refusal(bytes_of("PK\3\4 and so on")), HasSubstr("found zip"));
  EXPECT_THAT(refusal(bytes_of("BZh91AY&SY...")), HasSubstr("found bzip2"));
  EXPECT_EQ(unpacked(bytes_of("BZh9,a,b")), "BZh9,a,b");
}

TEST_F(ByteStreamTest, NamesWhatIsNoFile) {
  EXPECT_EQ(message_of([&] { ByteStream(path("none")); }),
            path("none") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(message_of([&] { ByteStream(path("")); }),
            path("") + ": expected a file, found a directory");
  EXPECT_EQ(message_of([] { ByteStream("/dev/zero"); }),
            "/dev/zero: expected a file, found a character device");
}

}  // namespace
}  // namespace trireme::data
