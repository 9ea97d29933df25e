#include "worker/run_id.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "distributed/coordination/draw_id.h"

namespace trireme {
namespace {

std::string text(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

bool is_positive(const std::string& number) {
  int64_t value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value);
  return value > 0;
}

// Who may start this process again, by names that stay.
using Starters = std::map<std::string, std::string>;

Starters starters_of(const Environment& environment) {
  Starters starters;
  const auto add = [&](const char* kind, const char* there, const char* name) {
    if (!text(environment, there).empty()) starters[kind] = text(environment, name);
  };
  add("launcher", "TRIREME_INCARNATION", "TRIREME_JOB_ID");
  add("torchrun", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_RUN_ID");
  add("slurm", "SLURM_JOB_ID", "SLURM_JOB_ID");
  if (starters.contains("slurm")) {
    starters["slurm"] += "@" + text(environment, "SLURM_CLUSTER_NAME");
  }
  return starters;
}

// The id that FOLDER/run.json keeps, if this is another start of that launch; else empty.
std::string kept_id(const std::string& path, const Starters& starters, bool goes_on,
                    const Environment& environment) {
  std::ifstream in(path);
  if (!in) return "";
  const auto kept = nlohmann::json::parse(in, nullptr, false);
  const auto field = [&](const std::string& name) {
    const auto found = kept.is_object() ? kept.find(name) : kept.end();
    return found != kept.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto is_again = [&](const std::string& kind, bool again) {
    const auto starter = starters.find(kind);
    return again && starter != starters.end() && field(kind) == starter->second;
  };
  const bool same =
      is_again("launcher", is_positive(text(environment, "TRIREME_INCARNATION"))) ||
      is_again("torchrun", is_positive(text(environment, "TORCHELASTIC_RESTART_COUNT"))) ||
      is_again("slurm", goes_on);
  return same ? field("run") : "";
}

}  // namespace

bool may_start_again(const Environment& environment) {
  return !text(environment, "TRIREME_RUN_ID").empty() || !starters_of(environment).empty();
}

std::string launch_id(const std::string& folder, bool goes_on, const Environment& environment) {
  const std::string given = text(environment, "TRIREME_RUN_ID");
  if (!given.empty()) return given;
  const Starters starters = starters_of(environment);
  if (starters.empty()) return draw_id();
  const std::string path = (std::filesystem::path(folder) / "run.json").string();
  const std::string kept = kept_id(path, starters, goes_on, environment);
  if (!kept.empty()) return kept;
  nlohmann::json entry = starters;
  entry["run"] = draw_id();
  std::filesystem::create_directories(folder);
  io::write_file_atomically(path, entry.dump() + "\n");
  return entry["run"];
}

}  // namespace trireme
