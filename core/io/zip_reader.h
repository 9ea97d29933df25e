// The members of a zip archive (PKWARE's APPNOTE 6.3, with zip64), stored or deflated, by name.
//
// Sizes are checked against the archive before they are believed, and each member's CRC-32. What is
// encrypted, split or packed otherwise is refused, and so are two members of one name and names
// that lead out of a folder ("/x", "../x"). Calls from one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/byte_source.h"
#include "core/tensor/buffer.h"

namespace trireme::io {

class ZipReader {
 public:
  explicit ZipReader(const std::string& path);
  // The same for an archive in memory, which must outlive it; `name` is for messages.
  ZipReader(std::span<const uint8_t> bytes, std::string_view name);

  struct Member {
    std::string name;
    uint16_t flags = 0, method = 0;
    uint32_t crc = 0;
    uint64_t packed = 0, size = 0, offset = 0;
  };
  const std::string& name() const { return name_; }
  const std::vector<Member>& members() const { return members_; }
  const Member* find(std::string_view name) const;  // null: there is none
  // The contents; buffer->bytes() may be more than `member.size`.
  std::shared_ptr<Buffer> read(const Member& member) const;
  // The contents of a member as text. Throws Error{kDataLoss} when it has more than `max_bytes`.
  std::string read_text(const Member& member, uint64_t max_bytes) const;
  // The contents where they are: a stored member is a part of the archive (whose checksum is
  // compared first), a deflated one is unpacked into memory. Throws Error{kDataLoss} for one of
  // more than 256 MiB that is packed to less than a hundredth.
  ByteSourcePtr open(const Member& member) const;

 private:
  void read_directory();
  // Where the member's bytes begin.
  uint64_t begin_of(const Member& member) const;
  std::string place_of(const Member& member) const;

  std::string name_;
  ByteSourcePtr archive_;
  std::vector<Member> members_;
};

}  // namespace trireme::io
