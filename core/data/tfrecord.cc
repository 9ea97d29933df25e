#include "core/data/tfrecord.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace trireme::data {
namespace {

using io::check_record;
using io::kRecordFooterBytes;
using io::kRecordHeaderBytes;
using io::record_length;

constexpr size_t kPiece = size_t{1} << 20;  // read at a time

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

Unpacking record_unpacking(Packing packing) {
  return {.packing = packing, .is_plain = io::is_record_header};
}

RecordReader::RecordReader(const std::string& path, RecordOptions options, bool pipes)
    : stream_(path, {.pipes = pipes}, record_unpacking(options.packing)),
      max_record_bytes_(options.max_record_bytes) {}

RecordReader::RecordReader(std::span<const uint8_t> bytes, std::string_view name,
                           RecordOptions options)
    : stream_(bytes, name, record_unpacking(options.packing)),
      max_record_bytes_(options.max_record_bytes) {}

std::string RecordReader::place() const {
  return str_cat(name(), ": record ", number_, " at byte ", offset_);
}

// Reads until `bytes` are there or the file ends; false when fewer are there.
bool RecordReader::fill(size_t bytes) {
  while (end_ - begin_ < bytes) {
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    // Memory grows with what is there: twice of it at most.
    const size_t wanted = std::max(kPiece, std::min(bytes, 2 * end_));
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    if (end_ == buffer_.size()) buffer_.resize(2 * end_);
    const size_t found = stream_.read(std::span(buffer_).subspan(end_));
    if (found == 0) return false;
    end_ += found;
  }
  return true;
}

bool RecordReader::next(std::string_view& record) {
  ++number_;
  offset_ = next_offset_;
  try {
    if (!fill(kRecordHeaderBytes)) {
      if (end_ == begin_) return false;
      throw data_loss("expected ", kRecordHeaderBytes, " bytes of a length and its checksum, the ",
                      "file ends after ", end_ - begin_, " of them");
    }
    const auto length = static_cast<size_t>(
        record_length(std::span(buffer_).subspan(begin_, kRecordHeaderBytes), max_record_bytes_));
    const size_t frame = kRecordHeaderBytes + length + kRecordFooterBytes;
    if (!fill(frame)) {
      throw data_loss("expected ", length, " bytes and their checksum, the file ends after ",
                      end_ - begin_ - kRecordHeaderBytes, " of ", length + kRecordFooterBytes,
                      "; it is cut off: copy it anew");
    }
    const uint8_t* const bytes = buffer_.data() + begin_ + kRecordHeaderBytes;
    record = text_of(bytes, length);
    check_record(record, bytes + length);
    begin_ += frame;
    next_offset_ += frame;
  } catch (const Error& error) {
    // What the stream says has its place already.
    if (std::string_view(error.what()).starts_with(name())) throw;
    throw error.with_context(place());
  }
  return true;
}

class RecordWriter::Impl {
 public:
  Impl(const std::string& path, Packing packing) : file_(path) {
    TRIREME_CHECK(packing != Packing::kDetect, "a writer is told how to pack");
    if (packing == Packing::kNone) return;
    const int window = packing == Packing::kGzip ? 15 + 16 : 15;
    packs_ = deflateInit2(&packer_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window, 8,
                          Z_DEFAULT_STRATEGY) == Z_OK;
    TRIREME_CHECK(packs_, "zlib did not start");
  }
  ~Impl() {
    if (packs_) deflateEnd(&packer_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void write(std::string_view record) {
    frame_.clear();
    io::append_record_header(frame_, record);
    append(frame_, Z_NO_FLUSH);
    append(record, Z_NO_FLUSH);
    frame_.clear();
    io::append_record_footer(frame_, record);
    append(frame_, Z_NO_FLUSH);
  }
  void close() {
    if (packs_) append({}, Z_FINISH);
    file_.commit();
  }

 private:
  void append(std::string_view bytes, int flush) {
    if (!packs_) return file_.append(bytes);
    do {
      const size_t given = std::min<size_t>(bytes.size(), size_t{1} << 30);
      packer_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      packer_.avail_in = static_cast<uInt>(given);
      do {
        packer_.next_out = reinterpret_cast<Bytef*>(piece_.data());
        packer_.avail_out = static_cast<uInt>(piece_.size());
        TRIREME_CHECK(deflate(&packer_, flush) != Z_STREAM_ERROR);
        file_.append(piece_.data(), piece_.size() - packer_.avail_out);
      } while (packer_.avail_out == 0);
      bytes.remove_prefix(given);
    } while (!bytes.empty());
  }

  io::AtomicFile file_;
  std::string frame_;  // what stands before or behind a record
  z_stream packer_{};
  bool packs_ = false;
  std::array<char, 1 << 16> piece_;
};

RecordWriter::RecordWriter(const std::string& path, Packing packing)
    : impl_(std::make_unique<Impl>(path, packing)) {}
RecordWriter::~RecordWriter() = default;
void RecordWriter::write(std::string_view record) { impl_->write(record); }
void RecordWriter::close() { impl_->close(); }

}  // namespace trireme::data
