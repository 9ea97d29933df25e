#include "core/data/byte_stream.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/text_file.h"

namespace trireme::data {
namespace {

constexpr size_t kPiece = size_t{1} << 18;  // of the packed file, read at a time

class Inflater {
 public:
  explicit Inflater(Packing packing) {
    // 15 bits of window, + 16: a gzip header and trailer around each member, else zlib's.
    const int window = packing == Packing::kGzip ? 15 + 16 : 15;
    TRIREME_CHECK(inflateInit2(&stream, window) == Z_OK, "zlib did not start");
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  z_stream stream{};
};

// The header of RFC 1950: deflate with a window of at most 32 KiB, and a check of five bits.
bool begins_zlib(std::span<const uint8_t> head) {
  return head.size() >= 2 && (head[0] & 0x0f) == 8 && head[0] >> 4 <= 7 &&
         (head[0] * 256 + head[1]) % 31 == 0;
}

}  // namespace

class ByteStream::Impl {
 public:
  Impl(const std::string& path, InputOptions options, Unpacking unpacking) : name_(path) {
    file_.emplace(path, options);
    size_ = file_->size();
    piece_.resize(kPiece);
    refill();
    start(unpacking);
  }
  Impl(std::span<const uint8_t> bytes, std::string_view name, Unpacking unpacking)
      : name_(name), rest_(bytes), size_(bytes.size()) {
    start(unpacking);
  }

  const std::string& name() const { return name_; }
  std::optional<uint64_t> size() const { return inflater_ ? std::nullopt : size_; }

  Packing packing() const { return packing_; }

  size_t read(std::span<uint8_t> out) { return inflater_ ? inflate_into(out) : copy_into(out); }

 private:
  void start(Unpacking unpacking) {
    packing_ = unpacking.packing == Packing::kDetect ? detect(unpacking) : unpacking.packing;
    if (packing_ == Packing::kNone) return;
    if (!rest_.empty() && !begins_member()) {
      throw data_loss(name_, ": expected data packed with ", packer(),
                      ", found other bytes at byte 0");
    }
    inflater_ = std::make_unique<Inflater>(packing_);
  }

  Packing detect(Unpacking unpacking) const {
    if (unpacking.is_plain != nullptr && unpacking.is_plain(rest_)) return Packing::kNone;
    const std::string_view head(reinterpret_cast<const char*>(rest_.data()), rest_.size());
    const std::string_view packer = packed_with(head);
    if (packer == "gzip") return Packing::kGzip;
    if (!packer.empty()) {
      throw data_loss(name_, ": expected a plain file or one packed with gzip, found ", packer,
                      "; unpack it first");
    }
    return unpacking.is_plain != nullptr && begins_zlib(rest_) ? Packing::kZlib : Packing::kNone;
  }

  // Of a first byte alone, zlib itself finds what is wrong. REQUIRES: rest_ is not empty.
  bool begins_member() const {
    return packing_ == Packing::kGzip ? rest_[0] == 0x1f && (rest_.size() < 2 || rest_[1] == 0x8b)
                                      : rest_.size() < 2 || begins_zlib(rest_);
  }

  const char* packer() const { return packing_ == Packing::kGzip ? "gzip" : "zlib"; }

  // The next piece of the file; false at its end.
  bool refill() {
    if (!file_) return false;
    rest_ = {piece_.data(), file_->read(piece_.data(), piece_.size())};
    return !rest_.empty();
  }

  size_t copy_into(std::span<uint8_t> out) {
    const size_t from_piece = std::min(out.size(), rest_.size());
    if (from_piece > 0) std::memcpy(out.data(), rest_.data(), from_piece);
    rest_ = rest_.subspan(from_piece);
    if (!file_ || from_piece == out.size()) return from_piece;
    return from_piece + file_->read(out.data() + from_piece, out.size() - from_piece);
  }

  size_t inflate_into(std::span<uint8_t> out) {
    z_stream& z = inflater_->stream;
    size_t done = 0;
    while (done < out.size()) {
      const bool file_ended = rest_.empty() && !refill();
      if (!in_member_ && !next_member(file_ended)) break;
      if (!in_member_) continue;
      const size_t room = std::min<size_t>(out.size() - done, size_t{1} << 30);
      const size_t given = std::min<size_t>(rest_.size(), size_t{1} << 30);
      z.next_in = const_cast<Bytef*>(rest_.data());
      z.avail_in = static_cast<uInt>(given);
      z.next_out = out.data() + done;
      z.avail_out = static_cast<uInt>(room);
      const int status = inflate(&z, Z_NO_FLUSH);
      done += room - z.avail_out;
      take(given - z.avail_in);
      if (status == Z_STREAM_END) {
        in_member_ = false;
      } else if (status == Z_BUF_ERROR && file_ended) {
        throw data_loss(name_, ": the ", packer(), " data is cut off: the file ends at byte ",
                        offset_, " inside a member; copy it anew");
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        throw data_loss(name_, ": the ", packer(), " data is damaged at byte ", offset_, " (",
                        z.msg != nullptr ? z.msg : "zlib has no reason", "); copy it anew");
      }
    }
    return done;
  }

  // Between members: skips padding, and begins the next member when one is there. False when the
  // file is over.
  bool next_member(bool file_ended) {
    if (file_ended) return false;
    const auto begin = std::ranges::find_if(rest_, [](uint8_t byte) { return byte != 0; });
    const bool padding = begin != rest_.begin();
    take(static_cast<size_t>(begin - rest_.begin()));
    if (rest_.empty()) return true;
    if (!begins_member()) {
      throw data_loss(name_, ": expected the end or another ", packer(), " member at byte ",
                      offset_, padding ? ", behind zero bytes" : "",
                      ", found other bytes; remove them, or copy the file anew");
    }
    TRIREME_CHECK(inflateReset(&inflater_->stream) == Z_OK);
    in_member_ = true;
    return true;
  }

  void take(size_t bytes) {
    rest_ = rest_.subspan(bytes);
    offset_ += bytes;
  }

  std::string name_;
  std::optional<InputStream> file_;
  std::vector<uint8_t> piece_;
  std::span<const uint8_t> rest_;  // read from the file, or all of the memory, and not yet used
  std::optional<uint64_t> size_;
  std::unique_ptr<Inflater> inflater_;  // none: a plain file
  Packing packing_ = Packing::kNone;
  bool in_member_ = true;
  uint64_t offset_ = 0;  // of `rest_` in a packed file
};

ByteStream::ByteStream(const std::string& path, InputOptions options, Unpacking unpacking)
    : impl_(std::make_unique<Impl>(path, options, unpacking)) {}
ByteStream::ByteStream(std::span<const uint8_t> bytes, std::string_view name, Unpacking unpacking)
    : impl_(std::make_unique<Impl>(bytes, name, unpacking)) {}
ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;

const std::string& ByteStream::name() const { return impl_->name(); }
std::optional<uint64_t> ByteStream::size() const { return impl_->size(); }
Packing ByteStream::packing() const { return impl_->packing(); }
size_t ByteStream::read(std::span<uint8_t> out) { return impl_->read(out); }

std::optional<std::string> locate_file(const std::string& path) {
  std::error_code ignored;
  for (const std::string& name : {path, path + ".gz"}) {
    if (std::filesystem::exists(name, ignored)) return name;
  }
  return std::nullopt;
}

std::string find_file(const std::string& path) {
  if (auto found = locate_file(path)) return *std::move(found);
  throw not_found("neither ", path, " nor ", path, ".gz is there");
}

}  // namespace trireme::data
