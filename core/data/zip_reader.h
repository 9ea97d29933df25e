// The members of a zip archive (PKWARE's APPNOTE 6.3, with zip64), stored or deflated, by name.
//
// Sizes are checked against the archive before they are believed, and each member's CRC-32. What is
// encrypted, split or packed otherwise is refused. Calls from one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/buffer.h"

namespace trireme::data {

class ZipReader {
 public:
  explicit ZipReader(const std::string& path);
  // The same for an archive in memory, which must outlive it; `name` is for messages.
  ZipReader(std::span<const uint8_t> bytes, std::string_view name);
  ~ZipReader();

  struct Member {
    std::string name;
    uint16_t flags = 0, method = 0;
    uint32_t crc = 0;
    uint64_t packed = 0, size = 0, offset = 0;
  };
  const std::string& name() const { return name_; }
  const std::vector<Member>& members() const { return members_; }
  // The contents; buffer->bytes() may be more than `member.size`.
  std::shared_ptr<Buffer> read(const Member& member) const;

 private:
  class Archive;
  void read_directory();

  std::string name_;
  std::unique_ptr<Archive> archive_;
  std::vector<Member> members_;
};

}  // namespace trireme::data
