#include "core/data/tfrecord.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/crc32c.h"

namespace trireme::data {
namespace {

constexpr size_t kPiece = size_t{1} << 20;  // read at a time

template <typename T>
T little_endian(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::string hex(uint32_t value) {
  std::array<char, 11> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}

// Of `bytes`, which `masked` is to be the checksum of.
void check_crc(std::string_view bytes, uint32_t masked, std::string_view what) {
  const uint32_t stored = io::unmask_crc(masked), computed = io::crc32c(bytes);
  if (stored == computed) return;
  throw data_loss("expected the CRC-32C ", hex(stored), " of ", what, ", computed ", hex(computed),
                  "; the file is damaged: copy it anew");
}

std::string_view text_of(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

bool is_plain(std::span<const uint8_t> head) {
  return head.size() >= kRecordHeaderBytes &&
         io::unmask_crc(little_endian<uint32_t>(&head[8])) == io::crc32c(text_of(head.data(), 8));
}

}  // namespace

Unpacking record_unpacking(Packing packing) { return {.packing = packing, .is_plain = is_plain}; }

uint64_t record_length(std::span<const uint8_t> header, uint64_t max_bytes) {
  check_crc(text_of(header.data(), 8), little_endian<uint32_t>(&header[8]), "the length");
  const auto length = little_endian<uint64_t>(header.data());
  if (length <= max_bytes) return length;
  throw data_loss("expected at most ", max_bytes, " bytes (max_record_bytes), its length says ",
                  length);
}

void check_record(std::string_view record, const uint8_t* footer) {
  check_crc(record, little_endian<uint32_t>(footer), "the record's bytes");
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
    std::array<char, kRecordHeaderBytes> header;
    const uint64_t length = record.size();
    std::memcpy(header.data(), &length, 8);
    const uint32_t length_crc = io::mask_crc(io::crc32c({header.data(), 8}));
    std::memcpy(header.data() + 8, &length_crc, 4);
    const uint32_t crc = io::mask_crc(io::crc32c(record));
    append({header.data(), header.size()}, Z_NO_FLUSH);
    append(record, Z_NO_FLUSH);
    append({reinterpret_cast<const char*>(&crc), kRecordFooterBytes}, Z_NO_FLUSH);
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
