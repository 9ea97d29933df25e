#include "core/data/find_data.h"

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
  throw not_found(
      "there is no ", name, "; looked for ", looked,
      path.is_absolute() ? "" : ". Name the data folder with --data-dir or TRIREME_DATA_DIR");
}

}  // namespace trireme::data
