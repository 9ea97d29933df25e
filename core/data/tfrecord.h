// TFRecord files: records of bytes in TensorFlow's framing (core/io/record_framing.h). The file may
// be packed as a whole with gzip or zlib.
//
// Both checksums are verified of every record. A damaged spot is Error{kDataLoss} "FILE: record 17
// at byte 1234: …": records count from 0, bytes are those of the unpacked contents. A length is not
// believed before the bytes are there, so memory stays below twice `max_record_bytes` whatever a
// file says.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/byte_stream.h"
#include "core/io/record_framing.h"

namespace trireme::data {

using io::kMaxRecordBytes;

struct RecordOptions {
  // kDetect: a plain file is told by the checksum of its first length, the others by their first
  // bytes.
  Packing packing = Packing::kDetect;
  uint64_t max_record_bytes = kMaxRecordBytes;
};

// The records of one file in their order, read in large pieces. One thread.
class RecordReader {
 public:
  // `pipes`: whether a pipe may stand for the file.
  explicit RecordReader(const std::string& path, RecordOptions options = {}, bool pipes = false);
  // The same for a file in memory, which must outlive it; `name` is for messages.
  RecordReader(std::span<const uint8_t> bytes, std::string_view name, RecordOptions options = {});

  // The next record, which lasts until the next call; false at the end.
  bool next(std::string_view& record);

  // Of the record that was given last.
  int64_t number() const { return number_; }
  uint64_t offset() const { return offset_; }
  std::string place() const;  // "FILE: record 17 at byte 1234"
  const std::string& name() const { return stream_.name(); }
  Packing packing() const { return stream_.packing(); }

 private:
  bool fill(size_t bytes);

  ByteStream stream_;
  uint64_t max_record_bytes_;
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what is read and not yet given
  int64_t number_ = -1;
  uint64_t offset_ = 0, next_offset_ = 0;
};

// How plain files of records are told from packed ones.
Unpacking record_unpacking(Packing packing);

// Writes a file of records, which appears whole or not at all. One thread.
class RecordWriter {
 public:
  // REQUIRES: packing is not kDetect.
  explicit RecordWriter(const std::string& path, Packing packing = Packing::kNone);
  ~RecordWriter();  // without close() there is no file
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  void write(std::string_view record);
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::data
