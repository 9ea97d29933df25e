// The records of TFRecord files by their numbers: the files one after the other, in the order that
// they were given in.
//
// The lengths in plain files are read once, when it is made, and each record when it is asked for;
// memory holds 8 bytes a record. Packed files cannot be read from their middle: they are unpacked
// into memory once, on all threads that compute. read() may be called from several threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/tfrecord.h"

namespace trireme::data {

// What a thread reads records into: one record, or, while they are read one after another, many.
class RecordBuffer {
 private:
  friend class RecordSet;
  std::vector<uint8_t> bytes_;
  uint64_t file_ = 0;             // whose bytes they are; 0: none
  uint64_t begin_ = 0, end_ = 0;  // where they lie in it
  uint64_t next_ = 0;             // behind the record that was read last
};

class RecordSet {
 public:
  // Throws Error for a file that cannot be opened or is damaged; plain ones as far as their lengths
  // tell. Throws Error{kResourceExhausted} when packed files do not fit in memory.
  explicit RecordSet(const std::vector<std::string>& paths, RecordOptions options = {});
  ~RecordSet();

  int64_t size() const;
  // The bytes of a record, in `buffer` until its next use, or in memory that stays. Throws Error
  // that names the place when they are damaged. REQUIRES: 0 ≤ index < size().
  std::string_view read(int64_t index, RecordBuffer& buffer) const;
  std::string place(int64_t index) const;  // "FILE: record 17 at byte 1234"

 private:
  class File;
  std::pair<size_t, int64_t> locate(int64_t index) const;

  std::vector<std::unique_ptr<File>> files_;
  std::vector<int64_t> ends_;  // of each file's records, among all
};

// "record": string [], each the bytes of one.
Dataset from_records(std::shared_ptr<const RecordSet> records);

}  // namespace trireme::data
