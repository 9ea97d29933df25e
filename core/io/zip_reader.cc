#include "core/io/zip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include "core/base/error.h"
#include "core/io/growing_buffer.h"

namespace trireme::io {
namespace {

constexpr size_t kEndBytes = 22, kEntryBytes = 46, kLocalBytes = 30, kLocatorBytes = 20;
constexpr uint64_t kMaxDirectoryBytes = uint64_t{64} << 20;
constexpr size_t kPiece = size_t{1} << 18;

// Of a member that is read as a file of weights.
constexpr uint64_t kBombFloor = uint64_t{256} << 20, kMaxRatio = 100;

Error other_checksum(const std::string& place, uint32_t expected, uLong computed) {
  return data_loss(place, ": expected the CRC-32 ", expected, ", computed ", computed,
                   "; the file is damaged: copy it anew");
}

void check_name(std::string_view name, const std::string& archive) {
  bool leads_out = name.starts_with('/') || name.starts_with('\\');
  for (size_t begin = 0; begin <= name.size() && !leads_out;) {
    const size_t end = std::min(name.find_first_of("/\\", begin), name.size());
    leads_out = name.substr(begin, end - begin) == "..";
    begin = end + 1;
  }
  if (leads_out) {
    throw data_loss(archive, ": the member ", quote_name(name),
                    " has a name outside of the archive's folder");
  }
}

template <typename T>
T number(std::span<const uint8_t> bytes, size_t at) {
  T value;
  std::memcpy(&value, &bytes[at], sizeof value);
  return value;
}

}  // namespace

ZipReader::ZipReader(const std::string& path) : name_(path), archive_(file_bytes(path)) {
  read_directory();
}
ZipReader::ZipReader(std::span<const uint8_t> bytes, std::string_view name)
    : name_(name), archive_(memory_bytes(bytes, name_)) {
  read_directory();
}

void ZipReader::read_directory() {
  // The end record is the last thing but for a comment of up to 64 KiB.
  const uint64_t tail_bytes = std::min<uint64_t>(archive_->size(), kEndBytes + 65'535);
  std::vector<uint8_t> tail(static_cast<size_t>(tail_bytes));
  archive_->read(archive_->size() - tail_bytes, tail.data(), tail.size());
  size_t end = tail.size();
  for (size_t at = tail.size() - std::min(tail.size(), kEndBytes) + 1; at-- > 0;) {
    if (tail.size() - at >= kEndBytes && number<uint32_t>(tail, at) == 0x06054b50) {
      end = at;
      break;
    }
  }
  if (end == tail.size()) {
    throw data_loss(name_,
                    ": expected a zip archive, found no end of one; it is another file, or "
                    "cut off");
  }
  uint64_t count = number<uint16_t>(tail, end + 10);
  uint64_t bytes = number<uint32_t>(tail, end + 12), offset = number<uint32_t>(tail, end + 16);
  if (count == 0xffff || bytes == 0xffffffff || offset == 0xffffffff) {
    // The sizes are in a record of zip64, which a locator in front of the end record points to.
    const bool has_locator =
        end >= kLocatorBytes && number<uint32_t>(tail, end - kLocatorBytes) == 0x07064b50;
    const uint64_t at = has_locator ? number<uint64_t>(tail, end - kLocatorBytes + 8) : UINT64_MAX;
    std::array<uint8_t, 56> record{};
    if (at > archive_->size() || archive_->size() - at < record.size()) {
      throw data_loss(name_, ": the zip archive's end record is damaged");
    }
    archive_->read(at, record.data(), record.size());
    if (number<uint32_t>(record, 0) != 0x06064b50) {
      throw data_loss(name_, ": the zip archive's end record is damaged");
    }
    count = number<uint64_t>(record, 32);
    bytes = number<uint64_t>(record, 40);
    offset = number<uint64_t>(record, 48);
  }
  if (offset > archive_->size() || bytes > archive_->size() - offset ||
      bytes > kMaxDirectoryBytes || count > bytes / kEntryBytes) {
    throw data_loss(name_, ": the zip archive says that its directory has ", count, " members in ",
                    bytes, " bytes from byte ", offset, ", the file has ", archive_->size(),
                    " bytes");
  }
  std::vector<uint8_t> directory(static_cast<size_t>(bytes));
  archive_->read(offset, directory.data(), directory.size());
  std::span<const uint8_t> rest = directory;
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    const auto damaged = [&] {
      return data_loss(name_, ": the zip archive's directory is damaged at member ", i);
    };
    if (rest.size() < kEntryBytes || number<uint32_t>(rest, 0) != 0x02014b50) throw damaged();
    const size_t name_bytes = number<uint16_t>(rest, 28), extra_bytes = number<uint16_t>(rest, 30),
                 comment_bytes = number<uint16_t>(rest, 32);
    const size_t whole = kEntryBytes + name_bytes + extra_bytes + comment_bytes;
    if (rest.size() < whole) throw damaged();
    Member member{
        .name = std::string(reinterpret_cast<const char*>(&rest[kEntryBytes - 1]) + 1, name_bytes),
        .flags = number<uint16_t>(rest, 8),
        .method = number<uint16_t>(rest, 10),
        .crc = number<uint32_t>(rest, 16),
        .packed = number<uint32_t>(rest, 20),
        .size = number<uint32_t>(rest, 24),
        .offset = number<uint32_t>(rest, 42)};
    // Numbers that do not fit are in an extra field, in this order.
    std::span<const uint8_t> extra = rest.subspan(kEntryBytes + name_bytes, extra_bytes);
    while (extra.size() >= 4) {
      const uint16_t kind = number<uint16_t>(extra, 0);
      const size_t field = std::min<size_t>(number<uint16_t>(extra, 2), extra.size() - 4);
      if (kind == 1) {
        std::span<const uint8_t> values = extra.subspan(4, field);
        for (uint64_t* value : {&member.size, &member.packed, &member.offset}) {
          if (*value != 0xffffffff) continue;
          if (values.size() < 8) throw damaged();
          *value = number<uint64_t>(values, 0);
          values = values.subspan(8);
        }
      }
      extra = extra.subspan(4 + field);
    }
    check_name(member.name, name_);
    if (!names.insert(member.name).second) {
      throw data_loss(name_, ": two members have the name ", quote_name(member.name));
    }
    members_.push_back(std::move(member));
    rest = rest.subspan(whole);
  }
}

const ZipReader::Member* ZipReader::find(std::string_view name) const {
  for (const Member& member : members_) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

std::string ZipReader::place_of(const Member& member) const {
  return name_ + ": member " + quote_name(member.name);
}

uint64_t ZipReader::begin_of(const Member& member) const {
  const std::string place = place_of(member);
  if ((member.flags & 1) != 0) throw data_loss(place, " is encrypted; unpack it first");
  if (member.method != 0 && member.method != 8) {
    throw data_loss(place, ": expected it stored or deflated, found method ", member.method);
  }
  std::array<uint8_t, kLocalBytes> local{};
  if (member.offset > archive_->size() || archive_->size() - member.offset < local.size()) {
    throw data_loss(place, " begins at byte ", member.offset, ", the file has ", archive_->size());
  }
  archive_->read(member.offset, local.data(), local.size());
  const uint64_t begin =
      member.offset + kLocalBytes + number<uint16_t>(local, 26) + number<uint16_t>(local, 28);
  if (number<uint32_t>(local, 0) != 0x04034b50 || begin > archive_->size() ||
      member.packed > archive_->size() - begin) {
    throw data_loss(place, ": expected ", member.packed, " bytes from byte ", begin,
                    ", the file has ", archive_->size(), "; it is damaged or cut off");
  }
  if (member.method == 0 && member.packed != member.size) {
    throw data_loss(place, ": expected ", member.size, " bytes, found ", member.packed, " stored");
  }
  return begin;
}

std::string ZipReader::read_text(const Member& member, uint64_t max_bytes) const {
  if (member.size > max_bytes) {
    throw data_loss(place_of(member), ": expected at most ", max_bytes, " bytes, found ",
                    member.size);
  }
  const std::shared_ptr<Buffer> contents = read(member);
  return {static_cast<const char*>(contents->data()), static_cast<size_t>(member.size)};
}

ByteSourcePtr ZipReader::open(const Member& member) const {
  const std::string place = place_of(member);
  if (member.method != 0) {
    if (member.size > kBombFloor && member.size / kMaxRatio > member.packed) {
      throw data_loss(place, " has ", member.size, " bytes packed in ", member.packed,
                      ": no weights are packed to less than a hundredth");
    }
    return memory_bytes(read(member), member.size, place);
  }
  const uint64_t begin = begin_of(member);
  uLong crc = crc32(0, nullptr, 0);
  std::vector<uint8_t> piece(kPiece);
  for (uint64_t done = 0; done < member.size;) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(kPiece, member.size - done));
    archive_->read(begin + done, piece.data(), count);
    crc = crc32(crc, piece.data(), static_cast<uInt>(count));
    done += count;
  }
  if (crc != member.crc) throw other_checksum(place, member.crc, crc);
  return part_of(archive_, begin, member.size, place);
}

std::shared_ptr<Buffer> ZipReader::read(const Member& member) const {
  const std::string place = place_of(member);
  const uint64_t begin = begin_of(member);
  check_fits_memory(member.size, name_);

  // Memory grows with what is there.
  GrowingBuffer contents(name_);
  uLong crc = crc32(0, nullptr, 0);
  std::vector<uint8_t> piece(kPiece);
  struct Inflater {
    z_stream stream{};
    Inflater() { TRIREME_CHECK(inflateInit2(&stream, -15) == Z_OK, "zlib did not start"); }
    ~Inflater() { inflateEnd(&stream); }
  } inflater;
  z_stream& z = inflater.stream;
  int status = Z_OK;
  for (uint64_t done = 0; done < member.packed && status == Z_OK;) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(kPiece, member.packed - done));
    archive_->read(begin + done, piece.data(), count);
    done += count;
    if (member.method == 0) {
      std::memcpy(contents.add(count).data(), piece.data(), count);
      crc = crc32(crc, piece.data(), static_cast<uInt>(count));
      continue;
    }
    z.next_in = piece.data();
    z.avail_in = static_cast<uInt>(count);
    do {
      const std::span<uint8_t> space = contents.add(kPiece);
      z.next_out = space.data();
      z.avail_out = static_cast<uInt>(space.size());
      status = inflate(&z, Z_NO_FLUSH);
      const size_t made = space.size() - z.avail_out;
      crc = crc32(crc, space.data(), static_cast<uInt>(made));
      contents.drop(space.size() - made);
      if (contents.size() > member.size) {
        throw data_loss(place, ": expected ", member.size, " bytes after unpacking, found more");
      }
      if (status == Z_BUF_ERROR) status = Z_OK;  // all of the piece is used
    } while (status == Z_OK && (z.avail_in > 0 || z.avail_out == 0));
  }
  if (status != Z_OK && status != Z_STREAM_END) {
    throw data_loss(place, ": the deflated data is damaged");
  }
  if (contents.size() != member.size) {
    throw data_loss(place, ": expected ", member.size, " bytes after unpacking, found ",
                    contents.size());
  }
  if (crc != member.crc) throw other_checksum(place, member.crc, crc);
  return contents.take();
}

}  // namespace trireme::io
