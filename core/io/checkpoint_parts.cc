#include "core/io/checkpoint_parts.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <random>
#include <string_view>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/crc32c.h"
#include "core/io/input_file.h"
#include "core/io/tensor_bundle.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTitle = "trireme checkpoint in parts 1";
constexpr std::string_view kOldStart = "slots ";  // of what was written before there was a title
constexpr std::string_view kChecksum = "crc32c ";
constexpr uint64_t kMostBytes = 16 << 20;

std::string hex(uint32_t number) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", number);
  return text;
}

void require_line(const char* what, const std::string& text) {
  const bool fits = std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (!fits) {
    throw invalid_argument("the manifest of a checkpoint: expected a ", what,
                           " without control characters, found ", quote_name(text));
  }
}

// Takes the lines of a manifest apart; each error says where.
class Lines {
 public:
  Lines(const std::string& path, std::string_view text) : path_(path), rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  std::string_view next() {
    ++number_;
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) throw error("a line that ends", rest_);
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }
  // What follows `key` on the next line.
  std::string_view value(std::string_view key) {
    const std::string_view line = next();
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') {
      throw error(str_cat("\"", key, " …\""), line);
    }
    return line.substr(key.size() + 1);
  }
  template <typename Number>
  Number number(std::string_view text, int base = 10) const {
    Number value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (code != std::errc() || end != text.data() + text.size()) throw error("a number", text);
    return value;
  }
  Error error(const std::string& expected, std::string_view found) const {
    return data_loss(path_, ":", number_, ": expected ", expected, ", found ",
                     quote_name(found.substr(0, 100)),
                     "; the manifest is damaged, use another checkpoint");
  }

 private:
  const std::string& path_;
  std::string_view rest_;
  int number_ = 0;
};

std::string format_file(const PartFile& file) { return str_cat(file.bytes, " ", hex(file.crc)); }

// "part NAME index BYTES CRC data BYTES CRC", from behind: names may have spaces.
CheckpointPart parse_part(const Lines& lines, std::string_view text) {
  const auto last_word = [&]() -> std::string_view {
    const size_t at = text.rfind(' ');
    if (at == std::string_view::npos) throw lines.error("a part with the sizes of its files", text);
    const std::string_view word = text.substr(at + 1);
    text = text.substr(0, at);
    return word;
  };
  const auto file = [&](std::string_view kind) {
    PartFile result;
    result.crc = lines.number<uint32_t>(last_word(), 16);
    result.bytes = lines.number<uint64_t>(last_word());
    const std::string_view found = last_word();
    if (found != kind) throw lines.error(str_cat("\"", kind, "\""), found);
    return result;
  };
  CheckpointPart part;
  part.data = file("data");
  part.index = file("index");
  part.name = text;
  // A name that leads elsewhere is none of ours.
  if (part.name.empty() || part.name.find('/') != std::string::npos) {
    throw lines.error("the name of a part beside the manifest", part.name);
  }
  return part;
}

PartFile read_whole(const std::string& path) {
  const InputFile file(path);
  std::string piece(1 << 20, '\0');
  PartFile result{.bytes = file.size()};
  for (uint64_t done = 0; done < file.size();) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(piece.size(), file.size() - done));
    file.read(done, piece.data(), n);
    result.crc = crc32c_extend(result.crc, piece.data(), n);
    done += n;
  }
  return result;
}

std::string text_of(const PartFile& file) {
  return str_cat(file.bytes, " bytes with checksum 0x", hex(file.crc));
}

void verify_file(const std::string& path, const PartFile& expected, bool all) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw not_found(path, ": expected ", text_of(expected),
                    ", the file is not there; this part of the checkpoint is missing, use another "
                    "checkpoint");
  }
  PartFile found;
  if (all) {
    found = read_whole(path);
  } else {
    found = {InputFile(path).size(), expected.crc};
  }
  if (found == expected) return;
  throw data_loss(
      path, ": expected ", text_of(expected), ", found ",
      found.bytes == expected.bytes || all ? text_of(found) : str_cat(found.bytes, " bytes"),
      "; this part of the checkpoint is damaged or of another one, use another "
      "checkpoint");
}

}  // namespace

std::string format_manifest(const PartsManifest& manifest) {
  require_line("job id", manifest.job);
  require_line("save id", manifest.save);
  std::string text = str_cat(kTitle, "\nstep ", manifest.step, "\njob ", manifest.job, "\nsave ",
                             manifest.save, "\nchanged_since ", manifest.changed_since, "\nrows ",
                             manifest.rows, "\nparts ", manifest.parts.size(), "\n");
  for (const CheckpointPart& part : manifest.parts) {
    require_line("name of a part", part.name);
    text += str_cat("part ", part.name, " index ", format_file(part.index), " data ",
                    format_file(part.data), "\n");
  }
  return str_cat(text, kChecksum, hex(crc32c(text)), "\n");
}

PartsManifest parse_manifest(const std::string& path, const std::string& text) {
  if (text.starts_with(kOldStart)) {
    throw data_loss(path,
                    ": it was written by a version of Trireme whose parts did not say which step "
                    "they are of and had no checksums, so nobody can tell whether they belong "
                    "together; use a checkpoint of this version, or read this one with the version "
                    "that wrote it");
  }
  Lines lines(path, text);
  const std::string_view title = lines.next();
  if (title != kTitle) throw lines.error(str_cat("\"", kTitle, "\""), title);
  // First of all, so that a damaged number is not called a wrong one.
  const size_t last = text.rfind(kChecksum);
  const std::string_view covered = std::string_view(text).substr(0, last);
  if (last == std::string::npos || !covered.ends_with('\n') ||
      text.substr(last) != str_cat(kChecksum, hex(crc32c(covered)), "\n")) {
    throw data_loss(path, ": expected \"", kChecksum, hex(crc32c(covered)),
                    "\" as the last line, the checksum of those before it, found ",
                    last == std::string::npos ? "none" : quote_name(text.substr(last)),
                    "; the manifest is damaged, use another checkpoint");
  }
  PartsManifest manifest;
  manifest.step = lines.number<int64_t>(lines.value("step"));
  manifest.job = lines.value("job");
  manifest.save = lines.value("save");
  manifest.changed_since = lines.number<int64_t>(lines.value("changed_since"));
  manifest.rows = lines.number<int64_t>(lines.value("rows"));
  const auto parts = lines.number<uint64_t>(lines.value("parts"));
  if (parts == 0 || parts > text.size()) throw lines.error("as many parts as there are", text);
  for (uint64_t i = 0; i < parts; ++i) {
    manifest.parts.push_back(parse_part(lines, lines.value("part")));
  }
  lines.value("crc32c");
  if (!lines.at_end()) throw lines.error("nothing behind the checksum", lines.next());
  return manifest;
}

PartsManifest read_manifest(const std::string& path) {
  return parse_manifest(path, read_file(path, kMostBytes));
}

CheckpointPart verify_bundle(const std::string& prefix) {
  const BundleReader reader(prefix);
  for (const std::string& name : reader.names()) reader.read(name);
  return {.name = fs::path(prefix).filename().string(),
          .index = read_whole(index_path(prefix)),
          .data = read_whole(shard_path(prefix, 0, 1))};
}

void verify_part(const std::string& directory, const CheckpointPart& part, bool all) {
  const std::string prefix = (fs::path(directory) / part.name).string();
  verify_file(index_path(prefix), part.index, true);
  verify_file(shard_path(prefix, 0, 1), part.data, all);
}

std::string make_save_id() {
  std::random_device random;
  return hex(random()) + hex(random());
}

}  // namespace trireme::io
