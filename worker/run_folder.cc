#include "worker/run_folder.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/io/input_file.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "ckpt-20.index", "ckpt-20.data-00000-of-00001", "ckpt-20.ps", those with ".replaced", and what a
// writer that died left of them.
bool is_of_checkpoint(std::string_view name) {
  constexpr std::string_view kStart = "ckpt-";
  if (!name.starts_with(kStart)) return false;
  name.remove_prefix(kStart.size());
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && is_number(name.substr(0, dot));
}

bool is_state(std::string_view name) {
  for (const std::string_view state : {"checkpoint", "checkpoint_best", ".survivor"}) {
    if (name == state || name.starts_with(std::string(state) + ".tmp-")) return true;
  }
  return false;
}

// What a training wrote into `output_dir`; its logs stay: they are appended to.
std::vector<fs::path> written_by_a_run(const fs::path& output_dir) {
  std::vector<fs::path> files;
  std::error_code error;
  const auto add_from = [&](const fs::path& folder, auto wanted) {
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (it->is_directory(error) && !it->is_symlink(error)) continue;
      if (wanted(it->path().filename().string())) files.push_back(it->path());
    }
  };
  add_from(output_dir, [](const std::string& name) {
    return name == "log.csv" || name.starts_with("log.csv.tmp-");
  });
  const fs::path checkpoints = output_dir / "checkpoints";
  add_from(checkpoints,
           [](const std::string& name) { return is_of_checkpoint(name) || is_state(name); });
  add_from(checkpoints / "rows", is_of_checkpoint);
  return files;
}

// An empty log is what a training leaves that was stopped before its first epoch.
bool has_results(const fs::path& file) {
  std::error_code error;
  const std::string name = file.filename().string();
  if (name.find(".tmp-") != std::string::npos || name == ".survivor") return false;
  return name != "log.csv" || fs::is_symlink(file, error) || fs::file_size(file, error) > 0;
}

}  // namespace

void refuse_earlier_run(const std::string& output_dir) {
  std::vector<fs::path> files = written_by_a_run(output_dir);
  std::erase_if(files, [](const fs::path& file) { return !has_results(file); });
  if (files.empty()) return;
  const auto checkpoints = io::list_checkpoints((fs::path(output_dir) / "checkpoints").string());
  const std::string what =
      !checkpoints.empty() && checkpoints.back().step >= 0
          ? str_cat("its newest checkpoint is of step ", checkpoints.back().step)
          : str_cat("e.g. ", files.front().string());
  throw invalid_argument(output_dir, ": holds an earlier training (", what,
                         "), which a new one would destroy; go on with it (--resume), choose "
                         "another folder (--output-dir), or remove it (--overwrite)");
}

// The id of a task that is alone says only which process it is, and another host may have the same.
std::string job_of_processes(const ClusterSpec& cluster) {
  const bool named = std::getenv("TRIREME_JOB_ID") != nullptr;
  return cluster.is_single_process() && !named ? "" : cluster.job_id;
}

RunFolder::RunFolder(std::string output_dir, std::string job)
    : output_dir_(std::move(output_dir)), job_(std::move(job)) {}

void RunFolder::hold() {
  if (lock_) return;
  io::create_directories(output_dir_);
  lock_.emplace(output_dir_, io::FolderLockOptions{.job = job_});
}

bool RunFolder::has(const std::string& checkpoint) const {
  if (checkpoint.empty()) return true;
  std::error_code error;
  return fs::equivalent(io::directory_of(checkpoint), fs::path(output_dir_) / "checkpoints", error);
}

void RunFolder::check() const {
  if (lock_) lock_->check();
}

void RunFolder::begin(EarlierRun earlier) {
  if (earlier == EarlierRun::kRefuse) return refuse_earlier_run(output_dir_);
  const std::vector<fs::path> files = written_by_a_run(output_dir_);
  for (const fs::path& file : files) {
    std::error_code error;
    fs::remove(file, error);  // a link itself, not what it leads to
    if (error) throw io::file_error("remove it", file.string(), error.value());
  }
  // Folders that hold nothing else.
  for (const char* const folder : {"checkpoints/rows", "checkpoints"}) {
    std::error_code ignored;
    fs::remove(fs::path(output_dir_) / folder, ignored);
  }
  if (!files.empty()) {
    log_info(str_cat(output_dir_, ": removed ", files.size(), " files of an earlier training"));
  }
}

}  // namespace trireme
