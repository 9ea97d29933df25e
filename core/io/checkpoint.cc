#include "core/io/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/thread_annotations.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint_state.h"
#include "core/io/trial_write.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStateName = "checkpoint";
constexpr std::string_view kBestName = "checkpoint_best";
constexpr std::string_view kIndexSuffix = ".index";
// While a step is saved again, the previous one keeps this name, so that a crash in between loses
// neither.
constexpr std::string_view kReplacedSuffix = ".replaced";

std::string join(const std::string& directory, std::string_view name) {
  return (fs::path(directory) / name).string();
}

// The number after the last '-'; -1 when there is none.
int64_t step_of(std::string_view name) {
  if (name.ends_with(kReplacedSuffix)) name.remove_suffix(kReplacedSuffix.size());
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return -1;
  const std::string_view digits = name.substr(dash + 1);
  int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return error == std::errc() && end == digits.data() + digits.size() && step >= 0 ? step : -1;
}

// The names (prefixes without their directory) of all that may be a checkpoint.
std::vector<std::string> names_with_index(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.ends_with(kIndexSuffix) || name.size() == kIndexSuffix.size()) continue;
    name.resize(name.size() - kIndexSuffix.size());
    names.push_back(std::move(name));
  }
  if (error && error.value() != ENOENT) {
    throw file_error("list the directory", directory, error.value());
  }
  return names;
}

// Directories are listed again and again.
void warn_once(const std::string& text) {
  static Mutex mutex;
  static std::set<std::string> said;
  const MutexLock lock(mutex);
  if (said.insert(text).second) log_warning(text);
}

bool is_complete(const std::string& prefix) {
  try {
    BundleReader reader(prefix);
    return true;
  } catch (const Error& error) {
    // Another process may have removed an old checkpoint after it was listed.
    if (error.code() != ErrorCode::kNotFound || fs::exists(index_path(prefix))) {
      warn_once(str_cat("ignoring a checkpoint: ", error.what()));
    }
    return false;
  }
}

std::optional<CheckpointState> read_state(const std::string& path) {
  try {
    return read_checkpoint_state(path);
  } catch (const Error& error) {
    log_warning(str_cat("ignoring ", error.what()));
    return std::nullopt;
  }
}

// Where a name stands in the order from oldest to newest.
class Order {
 public:
  explicit Order(const std::optional<CheckpointState>& state) {
    if (!state) return;
    std::vector<std::string> known = state->all;
    std::erase(known, state->latest);
    known.push_back(state->latest);
    // Directories get moved: only the name counts.
    for (const std::string& path : known) {
      if (!path.empty()) known_.push_back(fs::path(path).filename().string());
    }
    if (!known_.empty()) latest_step_ = step_of(known_.back());
  }

  // Unknown ones are new when they come after the latest known step, else older than all that is
  // known.
  std::pair<int64_t, int64_t> operator()(const std::string& name) const {
    const auto it = std::ranges::find(known_, name);
    const int64_t step = step_of(name);
    if (it != known_.end()) return {1 + (it - known_.begin()), step};
    const bool newer = step > latest_step_;
    return {newer ? static_cast<int64_t>(known_.size()) + 1 : 0, step};
  }

 private:
  std::vector<std::string> known_;
  int64_t latest_step_ = -1;
};

// Complete checkpoints for which `wanted` holds, oldest first.
template <typename Predicate>
std::vector<CheckpointInfo> list_where(const std::string& directory, Predicate wanted) {
  std::vector<std::string> names = names_with_index(directory);
  std::erase_if(names, [&](const std::string& name) {
    return !wanted(name) || !is_complete(join(directory, name));
  });
  // The previous one of a step counts only while the new one is not there.
  std::erase_if(names, [all = names](const std::string& name) {
    if (!name.ends_with(kReplacedSuffix)) return false;
    const std::string plain = name.substr(0, name.size() - kReplacedSuffix.size());
    return std::ranges::find(all, plain) != all.end();
  });
  const Order order(read_state(join(directory, kStateName)));
  std::ranges::sort(names, {}, [&](const std::string& name) {
    const bool replaced = name.ends_with(kReplacedSuffix);
    return std::pair(order(replaced ? name.substr(0, name.size() - kReplacedSuffix.size()) : name),
                     name);
  });
  std::vector<CheckpointInfo> result;
  for (const std::string& name : names) result.push_back({step_of(name), join(directory, name)});
  return result;
}

void remove_or_warn(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    log_warning(file_error("remove it", path, errno).what());
  }
}

// The index first: without it the rest is no checkpoint, whatever happens next.
void remove_bundle(const std::string& prefix) {
  remove_or_warn(index_path(prefix));
  const std::string start = fs::path(prefix).filename().string() + ".data-";
  std::vector<std::string> shards;
  std::error_code error;
  for (fs::directory_iterator it(directory_of(prefix), error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().filename().string().starts_with(start)) shards.push_back(it->path().string());
  }
  for (const std::string& shard : shards) remove_or_warn(shard);
}

}  // namespace

std::vector<CheckpointInfo> list_checkpoints(const std::string& directory) {
  return list_where(directory, [](const std::string&) { return true; });
}

std::string resolve_checkpoint(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const auto all = list_checkpoints(path);
    if (!all.empty()) return all.back().prefix;
    throw not_found(path, ": expected a directory with a checkpoint, found no complete one");
  }
  if (fs::exists(index_path(path), error)) return path;
  // Checkpoints are not named so.
  if (const std::string name = fs::path(path).filename().string();
      name == kStateName || name == kBestName) {
    if (const auto state = read_checkpoint_state(path); state && !state->latest.empty()) {
      return resolve_checkpoint(
          join(directory_of(path), fs::path(state->latest).filename().string()));
    }
  }
  std::string_view prefix = path;
  if (prefix.ends_with(kIndexSuffix)) {
    prefix.remove_suffix(kIndexSuffix.size());
  } else {
    prefix = prefix.substr(0, prefix.rfind(".data-"));
  }
  if (prefix.size() < path.size() && fs::exists(index_path(std::string(prefix)), error)) {
    return std::string(prefix);
  }
  throw not_found(path, ": no checkpoint there: expected a directory of checkpoints, or a file ",
                  index_path(std::string(prefix)));
}

void make_newest(const std::string& prefix) {
  const std::string directory = directory_of(prefix);
  CheckpointState state{.latest = fs::path(prefix).filename().string(), .all = {}};
  for (const CheckpointInfo& info : list_checkpoints(directory)) {
    state.all.push_back(fs::path(info.prefix).filename().string());
  }
  if (state.all.empty() || state.all.back() == state.latest) return;
  std::erase(state.all, state.latest);
  state.all.push_back(state.latest);
  write_file_atomically(join(directory, kStateName), format_checkpoint_state(state));
}

std::map<std::string, Tensor> load_checkpoint(const std::string& path) {
  const BundleReader reader(resolve_checkpoint(path));
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : reader.names()) tensors.emplace(name, reader.read(name));
  return tensors;
}

void check_compatible(std::span<const NamedType> expected, const BundleReader& reader) {
  constexpr int kListed = 5;
  int differences = 0;
  std::string list;
  const auto differs = [&](const NamedType& wanted, const std::string& found) {
    if (differences++ < kListed) {
      list += str_cat(list.empty() ? "" : "; ", quote_name(wanted.name), ": expected ", wanted.type,
                      ", ", found);
    }
  };
  for (const NamedType& wanted : expected) {
    if (!reader.contains(wanted.name)) {
      differs(wanted, "it is not in the checkpoint");
      continue;
    }
    const StoredTensor& found = reader.stored(wanted.name);
    if (found.dtype != wanted.type.dtype || !compatible(found.shape, wanted.type.shape)) {
      differs(wanted, str_cat("found ", found.dtype_name, found.shape));
    }
  }
  if (differences == 0) return;
  if (differences > kListed) list += str_cat("; and ", differences - kListed, " more");
  throw invalid_argument(reader.prefix(), ": the checkpoint does not fit the model: ", list,
                         "; use a checkpoint of this model");
}

CheckpointManager::CheckpointManager(std::string directory, CheckpointOptions options)
    : directory_(std::move(directory)), options_(std::move(options)) {
  if (options_.name.empty() || options_.name.find('/') != std::string::npos) {
    throw invalid_argument("a checkpoint's name must be a file name, found ",
                           quote_name(options_.name));
  }
  if (options_.keep_last < 0) {
    throw invalid_argument("keep_last must be 0 (all) or more, found ", options_.keep_last);
  }
}

std::string CheckpointManager::prefix_of(int64_t step) const {
  return join(directory_, str_cat(options_.name, "-", step));
}

// Links the step's present files to another name before they are replaced.
void CheckpointManager::protect_previous(const std::string& prefix) const {
  if (!fs::exists(index_path(prefix)) || !is_complete(prefix)) return;
  const std::string kept = str_cat(prefix, kReplacedSuffix);
  remove_bundle(kept);
  for (const auto& [from, to] : {std::pair(shard_path(prefix, 0, 1), shard_path(kept, 0, 1)),
                                 std::pair(index_path(prefix), index_path(kept))}) {
    // A file system without links, or a bundle with more shards: go on without this safety.
    if (::link(from.c_str(), to.c_str()) != 0) return;
  }
  sync_directory(directory_);
}

std::string CheckpointManager::save(int64_t step, const std::map<std::string, Tensor>& tensors) {
  if (step < 0) throw invalid_argument("a checkpoint's step must be 0 or more, found ", step);
  create_directories(directory_);
  remove_stale_temporaries(directory_);
  const std::string prefix = prefix_of(step);
  const auto free = free_bytes(directory_);
  try {
    BundleWriter writer(prefix);
    for (const auto& [name, tensor] : tensors) writer.add(name, tensor);
    protect_previous(prefix);
    writer.finish();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kResourceExhausted || !free) throw;
    uint64_t needed = 0;
    for (const auto& [name, tensor] : tensors) needed += tensor.bytes();
    throw Error(error.code(),
                str_cat(error.what(), "; the checkpoint of step ", step, " needs ", needed,
                        " bytes, ", *free, " were free; those before it are whole"));
  }

  std::vector<CheckpointInfo> all = list();
  std::erase_if(all, [&](const CheckpointInfo& info) { return info.prefix == prefix; });
  all.push_back({step, prefix});
  write_state(all);
  // What goes is still named while it goes: after a crash, nothing that is there has an unknown
  // age.
  if (remove_old(all)) write_state(all);
  return prefix;
}

void CheckpointManager::write_state(std::span<const CheckpointInfo> all) const {
  CheckpointState state;
  for (const CheckpointInfo& info : all) {
    state.all.push_back(fs::path(info.prefix).filename().string());
  }
  state.latest = state.all.back();
  write_file_atomically(join(directory_, kStateName), format_checkpoint_state(state));
}

bool CheckpointManager::remove_old(std::vector<CheckpointInfo>& all) const {
  for (const std::string& name : names_with_index(directory_)) {
    if (is_own(name) && name.ends_with(kReplacedSuffix)) remove_bundle(join(directory_, name));
  }
  remove_orphans();
  const auto keep = static_cast<size_t>(options_.keep_last);
  if (keep == 0 || all.size() <= keep) return false;
  const auto kept_best = best();
  std::vector<CheckpointInfo> kept;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i + keep >= all.size() || (kept_best && kept_best->prefix == all[i].prefix)) {
      kept.push_back(all[i]);
    } else {
      remove_bundle(all[i].prefix);
    }
  }
  all = std::move(kept);
  return true;
}

// Data without an index: a writer was killed while it removed a bundle, index first, or while it
// protected one.
void CheckpointManager::remove_orphans() const {
  std::vector<std::string> orphans;
  std::error_code error;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string file = it->path().filename().string();
    const size_t end_of_name = file.find(".data-");
    if (end_of_name == std::string::npos) continue;
    const std::string name = file.substr(0, end_of_name);
    if (is_own(name) && !fs::exists(index_path(join(directory_, name)))) {
      orphans.push_back(it->path().string());
    }
  }
  for (const std::string& orphan : orphans) remove_or_warn(orphan);
}

bool CheckpointManager::is_own(std::string_view name) const {
  if (name.ends_with(kReplacedSuffix)) name.remove_suffix(kReplacedSuffix.size());
  const int64_t step = step_of(name);
  return step >= 0 && name == str_cat(options_.name, "-", step);
}

void CheckpointManager::mark_best(int64_t step) {
  const auto all = list();
  const auto it = std::ranges::find(all, step, &CheckpointInfo::step);
  if (it == all.end()) {
    throw not_found(prefix_of(step), ": no complete checkpoint of step ", step,
                    " to keep as the best");
  }
  const std::string name = fs::path(it->prefix).filename().string();
  write_file_atomically(join(directory_, kBestName), format_checkpoint_state({name, {name}}));
}

std::optional<CheckpointInfo> CheckpointManager::best() const {
  const auto state = read_state(join(directory_, kBestName));
  if (!state || state->latest.empty()) return std::nullopt;
  const std::string name = fs::path(state->latest).filename().string();
  const std::string prefix = join(directory_, name);
  if (!is_complete(prefix)) return std::nullopt;
  return CheckpointInfo{step_of(name), prefix};
}

std::vector<CheckpointInfo> CheckpointManager::list() const {
  return list_where(directory_, [&](const std::string& name) { return is_own(name); });
}

std::optional<CheckpointInfo> CheckpointManager::latest() const {
  const auto all = list();
  if (all.empty()) return std::nullopt;
  return all.back();
}

}  // namespace trireme::io
