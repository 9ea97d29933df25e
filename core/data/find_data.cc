#include "core/data/find_data.h"

#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/input_stream.h"

namespace trireme::data {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> search_path(const std::string& data_dir) {
  if (!data_dir.empty()) return {data_dir};
  if (const char* from_environment = std::getenv("TRIREME_DATA_DIR")) return {from_environment};
  return {".", "data"};
}

Error nothing_found(const std::string& name, const std::string& looked) {
  return not_found("there is no ", name, "; looked for ", looked,
                   fs::path(name).is_absolute()
                       ? ""
                       : ". Name the data folder with --data-dir or TRIREME_DATA_DIR");
}

}  // namespace

std::string find_data(const std::string& name, const std::string& data_dir) {
  const fs::path path(name);
  std::string looked;
  for (const fs::path& folder :
       path.is_absolute() ? std::vector<fs::path>{""} : search_path(data_dir)) {
    const fs::path candidate = (folder / path).lexically_normal();
    const std::string_view kind = kind_of_file(candidate.string());
    if (kind == "a file" || kind == "a directory") return candidate.string();
    if (kind != "nothing") {
      throw invalid_argument(
          candidate.string(), ": expected a file of data, found ", kind,
          ": data are read again when a job is resumed or evaluated, and by each "
          "of its workers; write them to a file first");
    }
    looked += (looked.empty() ? "" : ", ") + candidate.string();
  }
  throw nothing_found(name, looked);
}

std::vector<std::string> find_data_files(const std::string& pattern, const std::string& data_dir) {
  if (pattern.find_first_of("*?[") == std::string::npos) return {find_data(pattern, data_dir)};
  const fs::path path(pattern);
  std::string looked;
  for (const fs::path& folder :
       path.is_absolute() ? std::vector<fs::path>{""} : search_path(data_dir)) {
    const std::string candidate = (folder / path).lexically_normal().string();
    std::vector<std::string> found;
    glob_t matches{};
    if (::glob(candidate.c_str(), GLOB_NOSORT, nullptr, &matches) == 0) {
      for (size_t i = 0; i < matches.gl_pathc; ++i) {
        const std::string name = matches.gl_pathv[i];
        if (kind_of_file(name) == "a file") found.push_back(name);
      }
    }
    ::globfree(&matches);
    // By their bytes, whatever the locale says: every worker has the same order.
    std::ranges::sort(found);
    if (!found.empty()) return found;
    looked += (looked.empty() ? "" : ", ") + candidate;
  }
  throw nothing_found(pattern, looked);
}

}  // namespace trireme::data
