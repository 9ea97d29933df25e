#include "core/io/sorted_table.h"

#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>
#include <leveldb/table_builder.h>
#include <snappy.h>

#include <cstring>
#include <ios>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/io/crc32c.h"
#include "core/io/varint.h"

namespace trireme::io {
namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57;
constexpr size_t kFooterBytes = 48;       // two block handles, padding, magic number
constexpr size_t kBlockTrailerBytes = 5;  // compression, checksum
// Ten thousand names of 100 bytes make 2 MiB; a table that unpacks to more than this is an attack.
constexpr uint64_t kMaxUnpackedBytes = 256ull << 20;

enum Compression : unsigned char { kNone = 0, kSnappy = 1 };

struct BlockHandle {
  uint64_t offset = 0;
  uint64_t size = 0;
};

std::optional<BlockHandle> take_handle(std::string_view& bytes) {
  const auto offset = take_varint(bytes);
  if (!offset) return std::nullopt;
  const auto size = take_varint(bytes);
  if (!size) return std::nullopt;
  return BlockHandle{*offset, *size};
}

// Walks the footer, the index and every data block's frame before LevelDB sees them.
class TableChecker {
 public:
  TableChecker(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  void check() {
    if (bytes_.size() < kFooterBytes) {
      throw data_loss(path_, ": expected a table of at least ", kFooterBytes,
                      " bytes, the file has ", bytes_.size());
    }
    const size_t footer_offset = bytes_.size() - kFooterBytes;
    uint64_t magic;
    std::memcpy(&magic, bytes_.data() + bytes_.size() - 8, 8);
    if (magic != kMagic) {
      throw data_loss(path_, ": expected the table magic number 0x", std::hex, kMagic, std::dec,
                      " at byte ", bytes_.size() - 8, ", found 0x", std::hex, magic,
                      "; this is not a checkpoint index, or its end is missing");
    }
    std::string_view footer = bytes_.substr(footer_offset, kFooterBytes - 8);
    const auto meta = take_handle(footer);
    const auto index = meta ? take_handle(footer) : std::nullopt;
    if (!index) throw bad(footer_offset, "a footer with two block handles");
    block(*meta);
    check_index(*index);
  }

 private:
  Error bad(uint64_t offset, std::string_view expected) const {
    return data_loss(path_, ": expected ", expected, " at byte ", offset,
                     "; the file is corrupt, use another checkpoint");
  }

  // The unpacked contents of a block whose frame is right.
  std::string block(const BlockHandle& handle) {
    const uint64_t limit = bytes_.size() - kFooterBytes;
    if (handle.offset > limit || handle.size > limit - handle.offset ||
        kBlockTrailerBytes > limit - handle.offset - handle.size) {
      throw data_loss(path_, ": a block of ", handle.size, " bytes at byte ", handle.offset,
                      " is outside the file's ", bytes_.size(), " bytes; the file is corrupt");
    }
    const std::string_view contents = bytes_.substr(handle.offset, handle.size);
    const char* trailer = contents.data() + contents.size();
    uint32_t stored;
    std::memcpy(&stored, trailer + 1, 4);
    const uint32_t found = crc32c_extend(crc32c(contents), trailer, 1);
    if (unmask_crc(stored) != found) {
      throw data_loss(path_, ": block at byte ", handle.offset, " (", handle.size,
                      " bytes): expected checksum 0x", std::hex, unmask_crc(stored), ", found 0x",
                      found, "; the file is corrupt, use another checkpoint");
    }
    std::string unpacked;
    if (*trailer == kNone) {
      unpacked = contents;
    } else if (*trailer == kSnappy) {
      size_t size = 0;
      if (!snappy::GetUncompressedLength(contents.data(), contents.size(), &size) ||
          size > kMaxUnpackedBytes - unpacked_bytes_ ||
          !snappy::IsValidCompressedBuffer(contents.data(), contents.size())) {
        throw bad(handle.offset, "a block that snappy can unpack");
      }
      snappy::Uncompress(contents.data(), contents.size(), &unpacked);
    } else {
      throw data_loss(path_, ": block at byte ", handle.offset,
                      ": expected compression none (0) or snappy (1), found ",
                      int{static_cast<unsigned char>(*trailer)});
    }
    unpacked_bytes_ += unpacked.size();
    if (unpacked_bytes_ > kMaxUnpackedBytes) {
      throw data_loss(path_, ": expected blocks of at most ", kMaxUnpackedBytes,
                      " bytes together; the file is corrupt");
    }
    return unpacked;
  }

  // Entries {shared, unshared, value size, key's rest, value}, then the restart points and their
  // count. The values are the handles of the data blocks.
  void check_index(const BlockHandle& handle) {
    const std::string index = block(handle);
    uint32_t restarts = 0;
    if (index.size() >= 4) std::memcpy(&restarts, index.data() + index.size() - 4, 4);
    if (index.size() < 4 || restarts > (index.size() - 4) / 4) {
      throw bad(handle.offset, "an index block with its restart points");
    }
    std::string_view rest = index;
    rest.remove_suffix(4 + size_t{restarts} * 4);
    uint64_t previous_end = 0;
    while (!rest.empty()) {
      const auto shared = take_varint(rest);
      const auto unshared = take_varint(rest);
      const auto value_size = take_varint(rest);
      if (!shared || !unshared || !value_size || *unshared > rest.size() ||
          *value_size > rest.size() - *unshared) {
        throw bad(handle.offset, "whole entries in the index block");
      }
      rest.remove_prefix(*unshared);
      std::string_view value = rest.substr(0, *value_size);
      const auto data = take_handle(value);
      // Blocks lie one after another. Were they allowed to repeat, a small file could unpack to any
      // size.
      if (!data || data->offset < previous_end) {
        throw bad(handle.offset, "the handles of successive blocks in the index block");
      }
      block(*data);
      previous_end = data->offset + data->size;
      rest.remove_prefix(*value_size);
    }
  }

  const std::string& path_;
  std::string_view bytes_;
  uint64_t unpacked_bytes_ = 0;
};

class StringFile : public leveldb::WritableFile {
 public:
  explicit StringFile(std::string& bytes) : bytes_(bytes) {}
  leveldb::Status Append(const leveldb::Slice& data) override {
    bytes_.append(data.data(), data.size());
    return leveldb::Status::OK();
  }
  leveldb::Status Close() override { return leveldb::Status::OK(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return leveldb::Status::OK(); }

 private:
  std::string& bytes_;
};

class ViewFile : public leveldb::RandomAccessFile {
 public:
  explicit ViewFile(std::string_view bytes) : bytes_(bytes) {}
  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result, char*) const override {
    if (offset > bytes_.size()) return leveldb::Status::Corruption("read past the end");
    const std::string_view part = bytes_.substr(offset, n);
    *result = leveldb::Slice(part.data(), part.size());
    return leveldb::Status::OK();
  }

 private:
  std::string_view bytes_;
};

}  // namespace

std::string build_table(const Table& entries) {
  leveldb::Options options;
  options.compression = leveldb::kNoCompression;
  std::string bytes;
  StringFile file(bytes);
  leveldb::TableBuilder builder(options, &file);
  for (const auto& [key, value] : entries) builder.Add(key, value);
  const leveldb::Status status = builder.Finish();
  TRIREME_CHECK(status.ok(), status.ToString());  // memory does not fail
  return bytes;
}

Table read_table(const std::string& path, std::string_view bytes) {
  TableChecker(path, bytes).check();
  leveldb::Options options;
  options.paranoid_checks = true;
  ViewFile file(bytes);
  leveldb::Table* opened = nullptr;
  leveldb::Status status = leveldb::Table::Open(options, &file, bytes.size(), &opened);
  const std::unique_ptr<leveldb::Table> table(opened);
  Table entries;
  if (status.ok()) {
    leveldb::ReadOptions read;
    read.verify_checksums = true;
    const std::unique_ptr<leveldb::Iterator> it(table->NewIterator(read));
    // Keys share prefixes, so their sum is not bounded by the file's size.
    uint64_t total = 0;
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      std::string key = it->key().ToString();
      total += key.size() + it->value().size();
      if (total > kMaxUnpackedBytes) {
        throw data_loss(path, ": expected entries of at most ", kMaxUnpackedBytes,
                        " bytes together; the file is corrupt");
      }
      if (!entries.empty() && key <= entries.rbegin()->first) {
        throw data_loss(path, ": expected sorted names, the file is corrupt");
      }
      entries.emplace_hint(entries.end(), std::move(key), it->value().ToString());
    }
    status = it->status();
  }
  if (!status.ok()) {
    throw data_loss(path, ": not a readable table (", status.ToString(),
                    "); the file is corrupt, use another checkpoint");
  }
  return entries;
}

}  // namespace trireme::io
