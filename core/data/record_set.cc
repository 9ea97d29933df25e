#include "core/data/record_set.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/io/growing_buffer.h"
#include "core/io/input_file.h"

namespace trireme::data {
namespace {

using io::check_record;
using io::kRecordFooterBytes;
using io::kRecordHeaderBytes;
using io::record_length;

// How many descriptors all sets of a process keep open, far below the usual limit of 1024.
constexpr int kMaxOpenFiles = 512;
std::atomic<int> g_open_files = 0;
std::atomic<uint64_t> g_files = 1;

// A file that stays open while descriptors are left, and is else opened for each call.
class SharedFile {
 public:
  explicit SharedFile(const std::string& path) : path_(path) {
    if (g_open_files.fetch_add(1) < kMaxOpenFiles) {
      open_ = std::make_unique<io::InputFile>(path);
    } else {
      g_open_files.fetch_sub(1);
    }
  }
  ~SharedFile() {
    if (open_) g_open_files.fetch_sub(1);
  }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  void read(uint64_t offset, void* data, size_t size) const {
    if (open_) return open_->read(offset, data, size);
    io::InputFile(path_).read(offset, data, size);
  }
  uint64_t size() const { return open_ ? open_->size() : io::InputFile(path_).size(); }

 private:
  std::string path_;
  std::unique_ptr<io::InputFile> open_;
};

// Whether the records of the file lie in it as they are.
bool is_plain_file(const std::string& path, Packing packing) {
  if (packing != Packing::kDetect) return packing == Packing::kNone;
  return ByteStream(path, {}, record_unpacking(packing)).packing() == Packing::kNone;
}

}  // namespace

class RecordSet::File {
 public:
  File(const std::string& path, RecordOptions options) : path_(path) {
    if (is_plain_file(path, options.packing)) {
      file_ = std::make_unique<SharedFile>(path);
      index(options.max_record_bytes);
    } else {
      unpack(options);
    }
    offsets_.shrink_to_fit();
  }

  int64_t size() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  std::string place(int64_t record) const {
    return str_cat(path_, ": record ", record, " at byte ",
                   offsets_[static_cast<size_t>(record)] +
                       (contents_ ? static_cast<uint64_t>(record) * kFrameBytes : 0));
  }

  std::string_view read(int64_t record, RecordBuffer& buffer) const {
    const uint64_t begin = offsets_[static_cast<size_t>(record)];
    const uint64_t end = offsets_[static_cast<size_t>(record) + 1];
    if (contents_) return {static_cast<const char*>(contents_->data()) + begin, end - begin};
    const uint8_t* const frame = bytes_of(begin, end, buffer);
    const uint64_t length = end - begin - kFrameBytes;
    try {
      const uint64_t found = record_length({frame, kRecordHeaderBytes}, UINT64_MAX);
      if (found != length) {
        throw data_loss("expected ", length, " bytes, found ", found,
                        "; the file was changed while it is read");
      }
      const std::string_view text(reinterpret_cast<const char*>(frame) + kRecordHeaderBytes,
                                  length);
      check_record(text, frame + kRecordHeaderBytes + length);
      return text;
    } catch (const Error& error) {
      throw error.with_context(place(record));
    }
  }

 private:
  static constexpr uint64_t kFrameBytes = kRecordHeaderBytes + kRecordFooterBytes;

  // The file's bytes from `begin` to `end`. Where they follow those that were read last, more are
  // read at once: a call to the system takes longer than a small record.
  const uint8_t* bytes_of(uint64_t begin, uint64_t end, RecordBuffer& buffer) const {
    constexpr uint64_t kAhead = uint64_t{128} << 10;
    const bool is_same = buffer.file_ == number_;
    if (!is_same || begin < buffer.begin_ || end > buffer.end_) {
      const bool follows = is_same && begin == buffer.next_;
      const uint64_t to = follows ? std::min(std::max(end, begin + kAhead), offsets_.back()) : end;
      if (buffer.bytes_.size() < to - begin) buffer.bytes_.resize(to - begin);
      buffer.file_ = 0;  // should reading fail
      file_->read(begin, buffer.bytes_.data(), to - begin);
      buffer.file_ = number_;
      buffer.begin_ = begin;
      buffer.end_ = to;
    }
    buffer.next_ = end;
    return buffer.bytes_.data() + (begin - buffer.begin_);
  }

  // Reads the lengths. Of large records little else is read.
  void index(uint64_t max_record_bytes) {
    constexpr size_t kPiece = size_t{64} << 10;
    const uint64_t size = file_->size();
    std::vector<uint8_t> piece(kPiece);
    uint64_t piece_begin = 0, piece_end = 0, offset = 0, length = 0;
    while (offset < size) {
      offsets_.push_back(offset);
      try {
        if (size - offset < kFrameBytes) {
          throw data_loss("expected ", kFrameBytes, " bytes or more, the file ends after ",
                          size - offset, "; it is cut off: copy it anew");
        }
        if (offset < piece_begin || offset + kRecordHeaderBytes > piece_end) {
          const uint64_t wanted = length > kPiece / 2 ? kRecordHeaderBytes : kPiece;
          piece_begin = offset;
          piece_end = std::min(size, offset + wanted);
          file_->read(offset, piece.data(), piece_end - piece_begin);
        }
        length =
            record_length({&piece[offset - piece_begin], kRecordHeaderBytes}, max_record_bytes);
        if (length > size - offset - kFrameBytes) {
          throw data_loss("expected ", length, " bytes and their checksum, the file ends after ",
                          size - offset - kRecordHeaderBytes, " of ", length + kRecordFooterBytes,
                          "; it is cut off: copy it anew");
        }
      } catch (const Error& error) {
        throw error.with_context(place(size_so_far()));
      }
      offset += kFrameBytes + length;
    }
    offsets_.push_back(size);
  }
  int64_t size_so_far() const { return static_cast<int64_t>(offsets_.size()) - 1; }

  void unpack(RecordOptions options) {
    RecordReader reader(path_, options);
    io::GrowingBuffer contents(path_);
    offsets_.push_back(0);
    for (std::string_view record; reader.next(record);) {
      const std::span<uint8_t> space = contents.add(record.size());
      if (!record.empty()) std::memcpy(space.data(), record.data(), record.size());
      offsets_.push_back(contents.size());
    }
    contents_ = contents.take();
  }

  std::string path_;
  uint64_t number_ = g_files.fetch_add(1);  // no other file of this process has it
  // Of a plain file: of each frame, and the file's end. Of unpacked contents: of each record's
  // bytes, one after the other, and their end.
  std::vector<uint64_t> offsets_;
  std::unique_ptr<SharedFile> file_;
  std::shared_ptr<Buffer> contents_;
};

RecordSet::RecordSet(const std::vector<std::string>& paths, RecordOptions options) {
  files_.resize(paths.size());
  parallel_for(static_cast<int64_t>(paths.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      files_[i] = std::make_unique<File>(paths[i], options);
    }
  });
  int64_t end = 0;
  for (const auto& file : files_) ends_.push_back(end += file->size());
}

RecordSet::~RecordSet() = default;

int64_t RecordSet::size() const { return ends_.empty() ? 0 : ends_.back(); }

std::pair<size_t, int64_t> RecordSet::locate(int64_t index) const {
  const auto file = static_cast<size_t>(std::ranges::upper_bound(ends_, index) - ends_.begin());
  return {file, file == 0 ? index : index - ends_[file - 1]};
}

std::string_view RecordSet::read(int64_t index, RecordBuffer& buffer) const {
  const auto [file, record] = locate(index);
  return files_[file]->read(record, buffer);
}

std::string RecordSet::place(int64_t index) const {
  const auto [file, record] = locate(index);
  return files_[file]->place(record);
}

namespace {

class RawRecords final : public IndexedExamples {
 public:
  explicit RawRecords(std::shared_ptr<const RecordSet> records) : records_(std::move(records)) {}
  ElementSpec spec() const override { return {{"record", DType::kString, {}}}; }
  int64_t size() const override { return records_->size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    thread_local RecordBuffer buffer;
    out[0].as<std::string>()[0] = records_->read(index, buffer);
  }

 private:
  std::shared_ptr<const RecordSet> records_;
};

}  // namespace

Dataset from_records(std::shared_ptr<const RecordSet> records) {
  return from_examples(std::make_shared<RawRecords>(std::move(records)));
}

}  // namespace trireme::data
