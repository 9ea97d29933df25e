#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/formats/keras/keras_weights.h"
#include "core/io/atomic_file.h"
#include "core/io/input_file.h"

namespace trireme::formats {
namespace {

constexpr uint64_t kMaxMapBytes = uint64_t{64} << 20;
constexpr int kMaxDepth = 8;
constexpr size_t kMaxShards = 10'000;

nlohmann::json parse_map(const std::string& text, const std::string& path) {
  const auto callback = [&](int depth, auto, auto&) {
    if (depth > kMaxDepth) throw data_loss(path, ": expected a map of weights, found deep nesting");
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(text, callback, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object() || !json.contains("weight_map") ||
      !json["weight_map"].is_object()) {
    throw data_loss(path, ": expected JSON with a \"weight_map\", found other contents");
  }
  return json["weight_map"];
}

}  // namespace

std::vector<std::unique_ptr<io::Hdf5File>> open_shards(const std::string& path) {
  std::set<std::string> names;
  const auto add = [&](const std::string& group, const nlohmann::json& name) {
    const std::string text = name.is_string() ? name.get<std::string>() : "";
    if (text.empty() || text.find('/') != std::string::npos || text == "..") {
      throw data_loss(path, ": group ", io::quote_name(group),
                      ": expected the name of a file beside it, found ", io::quote_name(text));
    }
    names.insert(text);
    if (names.size() > kMaxShards) {
      throw data_loss(path, ": expected at most ", kMaxShards, " files, found more");
    }
  };
  const nlohmann::json map = parse_map(io::read_file(path, kMaxMapBytes), path);
  for (const auto& [group, files] : map.items()) {
    if (!files.is_array()) {
      add(group, files);
      continue;
    }
    for (const nlohmann::json& file : files) add(group, file);
  }
  std::vector<std::unique_ptr<io::Hdf5File>> files;
  for (const std::string& name : names) {
    files.push_back(std::make_unique<io::Hdf5File>(io::directory_of(path) + "/" + name));
  }
  return files;
}

bool is_shard_map(const std::string& path) {
  try {
    if (!path.ends_with(".json")) return false;
    (void)parse_map(io::read_file(path, kMaxMapBytes), path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace trireme::formats
