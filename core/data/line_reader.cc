#include "core/data/line_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/text_file.h"

namespace trireme::data {
namespace {

constexpr size_t kPiece = size_t{1} << 20;  // bytes that are unpacked at a time

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

LineReader::LineReader(const std::string& path, size_t max_line)
    : stream_(path, {.pipes = true}), max_line_(max_line), buffer_(kPiece) {}

LineReader::LineReader(std::string_view text, std::string_view name, size_t max_line)
    : stream_(bytes_of(text), name),
      max_line_(max_line),
      buffer_(std::clamp<size_t>(text.size(), 16, kPiece)) {}

bool LineReader::next(std::string_view& line) {
  do {
    skip_lf();
    if (lf_ < begin_) lf_ = find('\n', begin_);
    if (cr_ < begin_) cr_ = find('\r', begin_);
    const size_t stop = std::min(lf_, cr_);
    if (stop < end_) {
      line = {buffer_.data() + begin_, stop - begin_};
      begin_ = stop + 1;
      skip_lf_ = stop == cr_;
      ++number_;
      check(line);
      return true;
    }
  } while (fill());
  if (begin_ == end_) return false;
  line = {buffer_.data() + begin_, end_ - begin_};
  begin_ = end_;
  ++number_;
  check(line);
  return true;
}

std::string_view LineReader::next_block() {
  std::string_view block;
  do {
    skip_lf();
    const std::string_view rest(buffer_.data() + begin_, end_ - begin_);
    const size_t last = rest.find_last_of("\r\n");
    if (last == std::string_view::npos) continue;
    block = rest.substr(0, last + 1);
    break;
  } while (fill());
  if (block.empty()) block = {buffer_.data() + begin_, end_ - begin_};
  if (block.empty()) return block;
  // The lines of the block end with LF from here on: there is room, since it gets no longer.
  char* const begin = buffer_.data() + begin_;
  skip_lf_ = block.ends_with('\r');
  begin_ += block.size();
  if (block.find('\0') != std::string_view::npos || block.size() > max_line_) {
    LineReader lines(block, name(), max_line_);
    lines.number_ = number_;
    for (std::string_view line; lines.next(line);) {  // throws, with the line's number
    }
  }
  if (block.find('\r') != std::string_view::npos) {
    char* to = begin;
    for (size_t from = 0; from < block.size(); ++from) {
      const bool ends_line = block[from] == '\r';
      if (ends_line && from + 1 < block.size() && block[from + 1] == '\n') continue;
      *to++ = ends_line ? '\n' : block[from];
    }
    block = {begin, static_cast<size_t>(to - begin)};
  }
  number_ += std::ranges::count(block, '\n') + (block.ends_with('\n') ? 0 : 1);
  return block;
}

void LineReader::skip_lf() {
  if (!skip_lf_ || begin_ == end_) return;
  if (buffer_[begin_] == '\n') ++begin_;
  skip_lf_ = false;
}

size_t LineReader::find(char wanted, size_t from) const {
  const void* const found = std::memchr(buffer_.data() + from, wanted, end_ - from);
  return found == nullptr ? end_
                          : static_cast<size_t>(static_cast<const char*>(found) - buffer_.data());
}

// Keeps the line that has begun and reads on behind it. False at the end of the file.
bool LineReader::fill() {
  if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (end_ > max_line_) {
    ++number_;
    check({buffer_.data(), end_});
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  const size_t before = end_;
  end_ += stream_.read({reinterpret_cast<uint8_t*>(buffer_.data()) + end_, buffer_.size() - end_});
  if (number_ == 0 && before == 0) {
    begin_ = byte_order_mark({buffer_.data(), std::min<size_t>(end_, 4)}, name());
  }
  lf_ = find('\n', before);
  cr_ = find('\r', before);
  return end_ > before;
}

void LineReader::check(std::string_view line) const {
  if (line.empty()) return;
  if (const void* nul = std::memchr(line.data(), 0, line.size()); nul != nullptr) {
    throw nul_byte_error(name(), number_,
                         static_cast<size_t>(static_cast<const char*>(nul) - line.data()) + 1);
  }
  if (line.size() > max_line_) {
    throw error(1, "expected lines of at most ", shown_bytes(max_line_), ", found a longer one");
  }
}

std::string read_text(const std::string& path, uint64_t max_bytes, std::string_view what) {
  ByteStream stream(path, {.pipes = true});
  const auto refuse = [&](const std::string& found) {
    return invalid_argument(path, ": expected ", what, " of at most ", shown_bytes(max_bytes),
                            ", found ", found);
  };
  if (stream.size().value_or(0) > max_bytes) throw refuse(str_cat(*stream.size(), " bytes"));
  std::string bytes;
  constexpr size_t kTextPiece = 64 << 10;
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(before + kTextPiece);
    bytes.resize(before +
                 stream.read({reinterpret_cast<uint8_t*>(bytes.data()) + before, kTextPiece}));
    if (bytes.size() > max_bytes) throw refuse("more");
    if (bytes.size() == before) return normalize_text(std::move(bytes), path);
  }
}

}  // namespace trireme::data
