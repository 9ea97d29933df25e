#include "core/io/zip_writer.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/io/byte_record.h"
#include "core/io/input_file.h"

namespace trireme::io {
namespace {

constexpr uint64_t kMax32 = 0xffffffff;
constexpr uint16_t kUtf8Name = 1 << 11;
// 1 January 1980, the first day that the format has: the same contents give the same bytes.
constexpr uint16_t kTime = 0, kDate = (1 << 5) | 1;

uint32_t limited(uint64_t value) { return static_cast<uint32_t>(std::min(value, kMax32)); }

// The extra field of those numbers that do not fit 32 bits.
std::string zip64_field(std::initializer_list<uint64_t> values) {
  ByteRecord field;
  for (uint64_t value : values) {
    if (value >= kMax32) field.add<uint64_t>(value);
  }
  const auto size = static_cast<uint16_t>(field.bytes().size());
  if (size == 0) return "";
  return ByteRecord().add<uint16_t>(1).add<uint16_t>(size).add(field.bytes()).bytes();
}

void check_name(const std::string& name, const std::string& archive) {
  bool is_good = !name.empty() && name.front() != '/' && name.size() <= 0xffff;
  for (size_t begin = 0; begin <= name.size() && is_good;) {
    const size_t end = std::min(name.find('/', begin), name.size());
    is_good = name.compare(begin, end - begin, "..") != 0;
    begin = end + 1;
  }
  if (!is_good) {
    throw invalid_argument(archive, ": expected a name within the archive's folder for a member, ",
                           "found ", quote_name(name));
  }
}

}  // namespace

struct ZipWriter::Member {
  std::string name;
  uint64_t size = 0, offset = 0;
  uint32_t crc = 0;
};

ZipWriter::ZipWriter(std::string path) : file_(std::move(path)) {}
ZipWriter::~ZipWriter() = default;

void ZipWriter::add(const std::string& name, std::string_view contents) {
  add(name, contents.size(), [&](const Sink& sink) { sink(contents.data(), contents.size()); });
}

void ZipWriter::add(const std::string& name, uint64_t size,
                    const std::function<void(const Sink& sink)>& produce) {
  check_name(name, file_.path());
  for (const Member& member : members_) {
    if (member.name == name) {
      throw invalid_argument(file_.path(), ": the archive has a member ", quote_name(name));
    }
  }
  uLong crc = crc32(0, nullptr, 0);
  produce([&](const void* data, size_t count) {
    for (const auto* at = static_cast<const Bytef*>(data); count > 0;) {
      const auto piece = static_cast<uInt>(std::min<size_t>(count, size_t{1} << 30));
      crc = crc32(crc, at, piece);
      at += piece;
      count -= piece;
    }
  });
  const Member member{
      .name = name, .size = size, .offset = file_.size(), .crc = static_cast<uint32_t>(crc)};
  // A local header names both sizes in its extra field when it names one.
  const std::string extra = zip64_field({size, size});
  ByteRecord header;
  header.add<uint32_t>(0x04034b50).add<uint16_t>(extra.empty() ? 20 : 45).add<uint16_t>(kUtf8Name);
  header.add<uint16_t>(0).add<uint16_t>(kTime).add<uint16_t>(kDate).add<uint32_t>(member.crc);
  header.add<uint32_t>(limited(size)).add<uint32_t>(limited(size));
  header.add<uint16_t>(static_cast<uint16_t>(name.size()));
  header.add<uint16_t>(static_cast<uint16_t>(extra.size())).add(name).add(extra);
  file_.append(header.bytes());
  const uint64_t begin = file_.size();
  produce([&](const void* data, size_t count) { file_.append(data, count); });
  TRIREME_CHECK(file_.size() - begin == size, "the member ", name);
  members_.push_back(member);
}

void ZipWriter::commit() {
  const uint64_t begin = file_.size();
  for (const Member& member : members_) {
    const std::string extra = zip64_field({member.size, member.size, member.offset});
    ByteRecord entry;
    entry.add<uint32_t>(0x02014b50).add<uint16_t>((3 << 8) | 45);  // made on Unix
    entry.add<uint16_t>(extra.empty() ? 20 : 45).add<uint16_t>(kUtf8Name).add<uint16_t>(0);
    entry.add<uint16_t>(kTime).add<uint16_t>(kDate).add<uint32_t>(member.crc);
    entry.add<uint32_t>(limited(member.size)).add<uint32_t>(limited(member.size));
    entry.add<uint16_t>(static_cast<uint16_t>(member.name.size()));
    entry.add<uint16_t>(static_cast<uint16_t>(extra.size())).add<uint16_t>(0).add<uint16_t>(0);
    entry.add<uint16_t>(0).add<uint32_t>(uint32_t{0100644} << 16);  // permissions rw-r--r--
    entry.add<uint32_t>(limited(member.offset)).add(member.name).add(extra);
    file_.append(entry.bytes());
  }
  const uint64_t end = file_.size(), count = members_.size();
  if (end >= kMax32 || count >= 0xffff) {
    ByteRecord record;
    record.add<uint32_t>(0x06064b50).add<uint64_t>(44).add<uint16_t>(45).add<uint16_t>(45);
    record.add<uint32_t>(0).add<uint32_t>(0).add<uint64_t>(count).add<uint64_t>(count);
    record.add<uint64_t>(end - begin).add<uint64_t>(begin);
    record.add<uint32_t>(0x07064b50).add<uint32_t>(0).add<uint64_t>(end).add<uint32_t>(1);
    file_.append(record.bytes());
  }
  const auto members = static_cast<uint16_t>(std::min<uint64_t>(count, 0xffff));
  ByteRecord record;
  record.add<uint32_t>(0x06054b50).add<uint16_t>(0).add<uint16_t>(0).add<uint16_t>(members);
  record.add<uint16_t>(members).add<uint32_t>(limited(end - begin)).add<uint32_t>(limited(begin));
  record.add<uint16_t>(0);
  file_.append(record.bytes());
  file_.commit();
}

}  // namespace trireme::io
