#include "worker/rows_saver.h"

#include <algorithm>
#include <filesystem>

#include "core/base/logging.h"
#include "worker/rows_checkpoint.h"

namespace trireme {

namespace fs = std::filesystem;

bool RowsSaver::is_sync() const {
  const ps::PsClientOptions& options = client_->options();
  return std::ranges::all_of(client_->tables(), [&](const ps::TableSpec& table) {
    return (table.is_dense() ? options.dense : options.sparse) == ps::Consistency::kSync;
  });
}

void RowsSaver::save(int64_t step) {
  const std::string prefix = rows_prefix((fs::absolute(folder_) / str_cat("ckpt-", step)).string());
  // The end of an epoch is saved again after the last of its steps: the rows are the same, and as
  // long as they are not replaced the checkpoint that they belong to is whole.
  if (saved_.step == step && is_sync() && is_saved_as(prefix, saved_)) return;
  fs::create_directories(fs::path(prefix).parent_path());
  std::optional<Error> interruption;
  try {
    saved_ = client_->save_checkpoint(step, prefix, [&] {
      if (interrupted_) interruption = interrupted_();
      return interruption.has_value();
    });
  } catch (const Error& error) {
    if (interruption) {
      log_warning(str_cat("there is no checkpoint of step ", step, ": ", interruption->what()));
      throw Error(*interruption);
    }
    fault_ = error;
    throw;
  }
  log_info(str_cat("saved ", saved_.rows, " rows of step ", step, " in ", prefix));
}

void RowsSaver::forget(std::span<const io::CheckpointInfo> kept) const {
  std::error_code error;
  const fs::path folder = fs::path(rows_prefix(folder_ + "/")).parent_path();
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    const bool wanted = std::ranges::any_of(kept, [&](const io::CheckpointInfo& info) {
      return name.starts_with(fs::path(info.prefix).filename().string() + ".");
    });
    if (!wanted && name.starts_with("ckpt-")) fs::remove(entry.path(), error);
  }
}

}  // namespace trireme
