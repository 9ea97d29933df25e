#include "core/base/text_file.h"

#include <algorithm>
#include <array>
#include <utility>

namespace trireme {

using namespace std::string_view_literals;

size_t byte_order_mark(std::string_view head, std::string_view name) {
  if (head.starts_with("\xef\xbb\xbf")) return 3;
  // UTF-32's mark in little endian begins as UTF-16's does.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOthers{{
      {"\xff\xfe\0\0"sv, "UTF-32"},
      {"\0\0\xfe\xff"sv, "UTF-32"},
      {"\xff\xfe"sv, "UTF-16"},
      {"\xfe\xff"sv, "UTF-16"},
  }};
  for (const auto& [mark, encoding] : kOthers) {
    if (!head.starts_with(mark)) continue;
    throw data_loss(name, ": expected text in UTF-8, found ", encoding, "; `iconv -f ", encoding,
                    " -t UTF-8` converts it");
  }
  return 0;
}

Error nul_byte_error(std::string_view name, int64_t line, size_t column) {
  return data_loss(name, ':', line, ':', column,
                   ": expected text in UTF-8, found a NUL byte: this is another encoding, or no "
                   "text");
}

std::string_view packed_with(std::string_view head) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kMagic{{
      {"\x1f\x8b"sv, "gzip"},
      {"\xfd"
       "7zXZ\0"sv,
       "xz"},
      {"\x28\xb5\x2f\xfd"sv, "zstd"},
      {"PK\x03\x04"sv, "zip"},
      {"\x04\x22\x4d\x18"sv, "lz4"},
      {"7z\xbc\xaf\x27\x1c"sv, "7-zip"},
  }};
  for (const auto& [magic, packer] : kMagic) {
    if (head.starts_with(magic)) return packer;
  }
  // "BZh" and a digit may begin a word; the block's mark behind them does not.
  if (head.starts_with("BZh") && head.size() >= 10 && head.substr(4, 6) == "1AY&SY") return "bzip2";
  return "";
}

std::string normalize_text(std::string bytes, std::string_view name) {
  const size_t mark = byte_order_mark(std::string_view(bytes).substr(0, 4), name);
  if (const size_t nul = bytes.find('\0'); nul != std::string::npos) {
    int64_t line = 1;
    size_t begin = mark;
    for (size_t i = mark; i < nul; ++i) {
      if (bytes[i] != '\n' && (bytes[i] != '\r' || bytes[i + 1] == '\n')) continue;
      ++line;
      begin = i + 1;
    }
    throw nul_byte_error(name, line, nul - begin + 1);
  }
  size_t to = 0;
  for (size_t from = mark; from < bytes.size(); ++from) {
    if (bytes[from] != '\r') {
      bytes[to++] = bytes[from];
    } else if (from + 1 == bytes.size() || bytes[from + 1] != '\n') {
      bytes[to++] = '\n';
    }
  }
  bytes.resize(to);
  return bytes;
}

std::string read_text_file(const std::string& path, uint64_t max_bytes, std::string_view what,
                           InputOptions options) {
  std::string bytes = read_whole(path, max_bytes, what, options);
  if (const std::string_view packer = packed_with(bytes); !packer.empty()) {
    throw data_loss(path, ": expected ", what, " as plain text, found a file packed with ", packer,
                    "; unpack it first");
  }
  return normalize_text(std::move(bytes), path);
}

}  // namespace trireme
