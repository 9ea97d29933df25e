// Zip archives: those that Python wrote, as fixtures/*.zip (make_fixtures.py), and our own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/io/zip_reader.h"
#include "core/io/zip_writer.h"
#include "tests/core/io/files.h"

namespace trireme::io {
namespace {

using testing::HasSubstr;

std::string fixture(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/core/io/fixtures/" + name;
}

std::string message_of(const std::string& path) {
  return error_of([&] { ZipReader{path}; }).what();
}

std::string all_of(const ByteSource& bytes) {
  std::string all(bytes.size(), '\0');
  bytes.read(0, all.data(), all.size());
  return all;
}

// Members come back, whole or in pieces, and the same members give the same archive.
TEST(ZipWriterTest, WritesWhatTheReaderReads) {
  const TemporaryDirectory folder;
  const std::string large(1'000'000, 'w');
  for (const char* name : {"a.keras", "b.keras"}) {
    ZipWriter writer(folder / name);
    writer.add("config.json", "{}");
    writer.add("empty", "");
    writer.add("model.weights.h5", large.size(), [&](const ZipWriter::Sink& sink) {
      sink(large.data(), 10);
      sink(large.data() + 10, large.size() - 10);
    });
    writer.commit();
  }
  EXPECT_EQ(contents(folder / "a.keras"), contents(folder / "b.keras"));
  const ZipReader reader(folder / "a.keras");
  EXPECT_EQ(reader.members().size(), 3U);
  EXPECT_EQ(reader.read_text(*reader.find("config.json"), 10), "{}");
  EXPECT_EQ(reader.read_text(*reader.find("empty"), 10), "");
  EXPECT_EQ(all_of(*reader.open(*reader.find("model.weights.h5"))), large);
  EXPECT_EQ(reader.find("other"), nullptr);
}

// Without commit() the file of before stays, and nothing else.
TEST(ZipWriterTest, LeavesNothingHalfWritten) {
  const TemporaryDirectory folder;
  overwrite(folder / "a.keras", "before");
  {
    ZipWriter writer(folder / "a.keras");
    writer.add("config.json", "{}");
  }
  EXPECT_EQ(contents(folder / "a.keras"), "before");
  EXPECT_THAT(files_in(folder.path()), testing::ElementsAre("a.keras"));
}

// A name of ours must not lead out of the folder in which it is unpacked, either.
TEST(ZipWriterTest, RefusesNamesThatLeadOut) {
  const TemporaryDirectory folder;
  ZipWriter writer(folder / "a.zip");
  writer.add("a", "1");
  for (const char* name : {"", "/a", "../a", "a/../../b", "a"}) {
    EXPECT_EQ(error_of([&] { writer.add(name, "2"); }).code(), ErrorCode::kInvalidArgument) << name;
  }
}

// Others pack what they write.
TEST(ZipReaderTest, ReadsDeflatedMembers) {
  const ZipReader reader(fixture("packed.zip"));
  const std::string text = reader.read_text(*reader.find("a.txt"), 1 << 20);
  EXPECT_EQ(text.size(), 6000U);
  EXPECT_EQ(all_of(*reader.open(*reader.find("a.txt"))), text);
  EXPECT_EQ(all_of(*reader.open(*reader.find("sub/b.txt"))), "b");
  EXPECT_THAT(error_of([&] { reader.read_text(*reader.find("a.txt"), 100); }).what(),
              HasSubstr("expected at most 100 bytes, found 6000"));
}

// Path traversal, and two answers to one name.
TEST(ZipReaderTest, RefusesNamesThatLeadOutAndDuplicates) {
  EXPECT_THAT(message_of(fixture("up.zip")), HasSubstr("\"../a\" has a name outside"));
  EXPECT_THAT(message_of(fixture("absolute.zip")), HasSubstr("\"/a\" has a name outside"));
  EXPECT_THAT(message_of(fixture("twice.zip")), HasSubstr("two members have the name \"a\""));
}

// A bomb says how large it gets; one that lies makes no more memory than it said.
TEST(ZipReaderTest, RefusesBombs) {
  const TemporaryDirectory folder;
  const auto with_size = [&](uint32_t size) {
    std::string bytes = contents(fixture("packed.zip"));
    const size_t entry = bytes.find("PK\1\2");
    std::memcpy(&bytes[entry + 24], &size, sizeof size);
    overwrite(folder / "bomb.zip", bytes);
    return std::string(error_of([&] {
                         const ZipReader reader(folder / "bomb.zip");
                         reader.open(*reader.find("a.txt"));
                       }).what());
  };
  EXPECT_THAT(with_size(1 << 30), HasSubstr("no weights are packed to less than a hundredth"));
  EXPECT_THAT(with_size(5000), HasSubstr("expected 5000 bytes after unpacking, found more"));
}

// A stored member is read where it is, so its checksum is compared when it is opened.
TEST(ZipReaderTest, NamesTheMemberWhoseChecksumIsAnother) {
  const TemporaryDirectory folder;
  {
    ZipWriter writer(folder / "a.zip");
    writer.add("x", "some contents");
    writer.commit();
  }
  std::string bytes = contents(folder / "a.zip");
  bytes[bytes.find("some")] = 'S';
  overwrite(folder / "a.zip", bytes);
  const ZipReader reader(folder / "a.zip");
  EXPECT_THAT(error_of([&] { reader.open(*reader.find("x")); }).what(),
              HasSubstr("member \"x\": expected the CRC-32"));
}

}  // namespace
}  // namespace trireme::io
