// Checks an exported model against its manifest, and copies it.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "core/io/atomic_file.h"
#include "core/io/zip_reader.h"
#include "worker/model_files.h"
#include "worker/model_package.h"
#include "worker/sha256.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxManifest = 16 << 20;
constexpr size_t kMaxFiles = 100'000;
constexpr int kMaxDepth = 16;
constexpr size_t kSha256Digits = 64;

json parse_bounded(const std::string& text, const std::string& place) {
  // The parser recurses where it is told to keep a value; what lies too deep is not kept.
  bool too_deep = false;
  const auto bound = [&](int depth, json::parse_event_t, json&) {
    too_deep |= depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  json parsed = json::parse(text, bound, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || too_deep) {
    throw data_loss(place, ": expected JSON of at most ", kMaxDepth,
                    " levels, found something else");
  }
  return parsed;
}

// A path that stays within its folder, in plain steps.
bool is_inside(const std::string& path) {
  if (path.empty() || path.size() > 1024 || path.front() == '/' || path.back() == '/') return false;
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == 0x7f) return false;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string step = path.substr(begin, end - begin);
    if (step.empty() || step == "." || step == "..") return false;
    begin = end + 1;
  }
  return true;
}

std::vector<PackageFile> parse_manifest(const std::string& text, const std::string& path) {
  const json manifest = parse_bounded(text, path);
  const auto wrong = [&](const std::string& what) { return data_loss(path, ": ", what); };
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_array()) {
    throw wrong("expected an object with the list \"files\"");
  }
  if (manifest.value("version", json()) != 1) throw wrong("expected version 1 of manifests");
  if (manifest["files"].size() > kMaxFiles) {
    throw wrong(
        str_cat("expected at most ", kMaxFiles, " files, found ", manifest["files"].size()));
  }
  std::vector<PackageFile> files;
  std::set<std::string> seen;
  for (const json& one : manifest["files"]) {
    const bool fits = one.is_object() && one.contains("path") && one["path"].is_string() &&
                      one.contains("size") && one["size"].is_number_unsigned() &&
                      one.contains("sha256") && one["sha256"].is_string();
    if (!fits) {
      throw wrong(str_cat("file ", files.size() + 1, " has no path, size and sha256"));
    }
    PackageFile file{one["path"], one["size"], one["sha256"]};
    if (!is_inside(file.path) || file.path == kManifestFile) {
      throw invalid_argument(path, ": ", json(file.path).dump(),
                             " is no path within the folder; nothing was copied");
    }
    if (file.sha256.size() != kSha256Digits) throw wrong("\"" + file.path + "\": no SHA-256");
    if (!seen.insert(file.path).second) throw wrong("\"" + file.path + "\" stands there twice");
    files.push_back(std::move(file));
  }
  return files;
}

std::vector<PackageFile> read_manifest(const std::string& path) {
  return parse_manifest(data::read_text(path, kMaxManifest, "a manifest"), path);
}

void copy_member(const io::ZipReader& archive, const io::ZipReader::Member& member,
                 const std::string& to) {
  constexpr uint64_t kChunk = 1 << 20;
  const io::ByteSourcePtr bytes = archive.open(member);
  io::create_directories(io::directory_of(to));
  io::AtomicFile file(to);
  std::vector<char> chunk(std::min(kChunk, bytes->size()));
  for (uint64_t done = 0; done < bytes->size();) {
    const uint64_t count = std::min(kChunk, bytes->size() - done);
    bytes->read(done, chunk.data(), count);
    file.append(chunk.data(), count);
    done += count;
  }
  file.commit();
}

// Unpacks what the manifest of a zip archive names, in one folder of it or at its top. Links are
// not made: what would be one is a file that holds the path of another.
void unpack(const std::string& path, const std::string& folder) {
  const io::ZipReader archive(path);
  const io::ZipReader::Member* manifest = nullptr;
  for (const auto& member : archive.members()) {
    const size_t slash = member.name.find('/');
    const std::string inner =
        slash == std::string::npos ? member.name : member.name.substr(slash + 1);
    if (inner == kManifestFile) manifest = &member;
  }
  if (manifest == nullptr) {
    throw data_loss(path, ": expected ", kManifestFile, " in the archive, found none; ",
                    "it is no exported model");
  }
  const std::string prefix =
      manifest->name.substr(0, manifest->name.size() - std::string_view(kManifestFile).size());
  const std::string text = archive.read_text(*manifest, kMaxManifest);
  for (const PackageFile& file : parse_manifest(text, path + ": " + manifest->name)) {
    const io::ZipReader::Member* const member = archive.find(prefix + file.path);
    if (member == nullptr) {
      throw data_loss(path, ": \"", file.path, "\" of the manifest is not in the archive");
    }
    // Before anything is unpacked.
    if (member->size != file.size) {
      throw data_loss(path, ": \"", file.path, "\": expected ", file.size, " bytes, found ",
                      member->size);
    }
    copy_member(archive, *member, folder + "/" + file.path);
  }
  io::write_file_atomically(folder + "/" + kManifestFile, text);
}

// Where an archive is unpacked that is only to be checked; gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((fs::temp_directory_path() / "trireme-fetch-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw failed(path_, ": a folder cannot be made there");
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// No step on the way to it is a link.
bool is_plain_file(const std::string& folder, const std::string& path) {
  fs::path at = folder;
  std::error_code error;
  for (const fs::path& step : fs::path(path)) {
    at /= step;
    const fs::file_status status = fs::symlink_status(at, error);
    if (error || fs::is_symlink(status)) return false;
  }
  return fs::is_regular_file(fs::symlink_status(at, error));
}

std::string summary_of(const std::string& folder) {
  const std::string path = folder + "/" + kConfigFile;
  const json config = parse_bounded(data::read_text(path, kMaxManifest, "a configuration"), path);
  if (!config.is_object()) throw data_loss(path, ": expected an object");
  std::string text;
  const auto add = [&](const char* name, const char* shown) {
    if (!config.contains(name)) return;
    const json& value = config[name];
    text += str_cat(shown, ": ", value.is_string() ? value.get<std::string>() : value.dump(), "\n");
  };
  add("name", "model");
  add("license", "licence");
  add("parameters", "parameters");
  add("precision", "precision");
  add("data", "data");
  add("steps", "steps");
  add("metrics", "metrics");
  if (config.contains("signature") && config["signature"].is_object()) {
    for (const auto& [side, list] : config["signature"].items())
      text += side + ": " + list.dump() + "\n";
  }
  return text;
}

}  // namespace

PackageReport check_package(const std::string& folder) {
  PackageReport report{
      .files = read_manifest(folder + "/" + kManifestFile), .extras = {}, .summary = {}};
  std::set<std::string> named = {kManifestFile};
  // Sizes first: they cost nothing.
  for (const PackageFile& file : report.files) {
    named.insert(file.path);
    if (!is_plain_file(folder, file.path)) {
      throw data_loss(folder, ": \"", file.path, "\" of the manifest is not there as a plain file");
    }
    const uint64_t size = fs::file_size(folder + "/" + file.path);
    if (size != file.size) {
      throw data_loss(folder, ": \"", file.path, "\": expected ", file.size, " bytes, found ",
                      size);
    }
  }
  for (const char* const needed : {kConfigFile, kPackageJob, kPackageWeights}) {
    if (!named.contains(needed)) {
      throw data_loss(folder, ": the manifest does not name \"", needed, "\"");
    }
  }
  for (const PackageFile& file : report.files) {
    const std::string found = sha256_of_file(folder + "/" + file.path);
    if (found != file.sha256) {
      throw data_loss(folder, ": \"", file.path, "\" was changed: expected SHA-256 ", file.sha256,
                      ", found ", found);
    }
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink()) continue;
    const std::string path = fs::relative(entry.path(), folder).generic_string();
    if (!named.contains(path)) report.extras.push_back(path);
  }
  std::ranges::sort(report.extras);
  report.summary = summary_of(folder);
  return report;
}

PackageReport fetch_package(const std::string& from, const std::string& to, bool overwrite) {
  if (!fs::is_directory(from)) {
    if (!fs::exists(from)) throw not_found(from, ": there is no such folder or archive");
    PackageReport report;
    if (to.empty()) {
      const TemporaryFolder folder;
      unpack(from, folder.path());
      return check_package(folder.path());
    }
    write_whole(to, overwrite, [&](const std::string& inside) {
      io::create_directories(inside);
      unpack(from, inside);
      report = check_package(inside);
    });
    return report;
  }
  PackageReport report = check_package(from);
  if (to.empty()) return report;
  write_whole(to, overwrite, [&](const std::string& inside) {
    io::create_directories(inside);
    std::vector<std::string> paths = {kManifestFile};
    for (const PackageFile& file : report.files) paths.push_back(file.path);
    for (const std::string& path : paths) {
      io::create_directories(io::directory_of(inside + "/" + path));
      fs::copy_file(from + "/" + path, inside + "/" + path);
    }
    // What was copied is what was checked, whoever changed the folder meanwhile.
    (void)check_package(inside);
  });
  return report;
}

}  // namespace trireme
