#include "worker/run_id.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "distributed/connection/draw_id.h"

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

std::string path_in(const std::string& folder) {
  return (std::filesystem::path(folder) / "run.json").string();
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
  // A launcher's tasks have an id from it, and their launcher knows who gave it.
  if (!starters.contains("launcher")) add("given", "TRIREME_RUN_ID", "TRIREME_RUN_ID");
  if (starters.contains("torchrun")) {
    // Names are often equal; a restart keeps the address, too.
    starters["torchrun"] +=
        "@" + text(environment, "MASTER_ADDR") + ":" + text(environment, "MASTER_PORT");
  }
  if (starters.contains("slurm")) {
    starters["slurm"] += "@" + text(environment, "SLURM_CLUSTER_NAME");
  }
  return starters;
}

nlohmann::json read_kept(const std::string& folder) {
  std::ifstream in(path_in(folder));
  return in ? nlohmann::json::parse(in, nullptr, false) : nlohmann::json();
}

std::string field_of(const nlohmann::json& kept, const std::string& name) {
  const auto found = kept.is_object() ? kept.find(name) : kept.end();
  return found != kept.end() && found->is_string() ? found->get<std::string>() : "";
}

// The id that FOLDER/run.json keeps, if this is another start of that launch; else empty.
std::string kept_id(const std::string& folder, const Starters& starters, bool goes_on,
                    const Environment& environment) {
  const nlohmann::json kept = read_kept(folder);
  const auto is_again = [&](const std::string& kind, bool again) {
    const auto starter = starters.find(kind);
    return again && starter != starters.end() && field_of(kept, kind) == starter->second;
  };
  const bool same =
      is_again("launcher", is_positive(text(environment, "TRIREME_INCARNATION"))) ||
      is_again("torchrun", is_positive(text(environment, "TORCHELASTIC_RESTART_COUNT"))) ||
      is_again("slurm", goes_on);
  return same ? field_of(kept, "run") : "";
}

}  // namespace

bool may_start_again(const Environment& environment) { return !starters_of(environment).empty(); }

std::string launch_id(const std::string& folder, bool goes_on, const Environment& environment) {
  const std::string given = text(environment, "TRIREME_RUN_ID");
  if (!given.empty()) return given;
  const Starters starters = starters_of(environment);
  const std::string kept = starters.empty() ? "" : kept_id(folder, starters, goes_on, environment);
  return kept.empty() ? draw_id() : kept;
}

void keep_launch_id(const std::string& folder, const std::string& id,
                    const Environment& environment) {
  const std::string passed = text(environment, "TRIREME_STARTED_BY");
  const Starters starters = starters_of(environment);
  const bool is_task =
      starters.contains("launcher") && !text(environment, "TRIREME_RUN_ID").empty();
  if (passed.empty() && is_task) return;
  nlohmann::json entry =
      passed.empty() ? nlohmann::json(starters) : nlohmann::json::parse(passed, nullptr, false);
  if (!entry.is_object() || entry.empty()) return;
  entry["run"] = id;
  std::filesystem::create_directories(folder);
  io::write_file_atomically(path_in(folder), entry.dump() + "\n");
}

bool is_kept_launch(const std::string& folder, const std::string& id) {
  return !id.empty() && field_of(read_kept(folder), "run") == id;
}

std::string started_by(const Environment& environment) {
  const Starters starters = starters_of(environment);
  return starters.empty() ? "" : nlohmann::json(starters).dump();
}

}  // namespace trireme
