// Checkpoints of a training run: a directory of tensor bundles `ckpt-STEP`, of which the newest few
// are kept, and TensorFlow's text file `checkpoint` that says which is the latest.
//
// A checkpoint is complete or it does not count: its data is durable before its index appears under
// its name, so a process may be killed, or the disk may fill up, at any moment, and latest() still
// finds the newest complete one. One process at a time saves to a directory; any number may read it
// meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/tensor_bundle.h"
#include "core/tensor/tensor.h"

namespace trireme::io {

struct CheckpointInfo {
  int64_t step = -1;   // the number at the end of the name; -1 when there is none
  std::string prefix;  // what BundleReader takes
};

// The complete checkpoints of a directory, TensorFlow's included, oldest first. The order is that
// of the file `checkpoint`; those that it does not know (it is missing, or a crash came before it
// was written) are ordered by their step around its latest. Empty when the directory is missing.
// What is damaged is left out, with a warning in the log.
std::vector<CheckpointInfo> list_checkpoints(const std::string& directory);

// The prefix of the checkpoint that `path` means: a directory (its latest), a prefix, one of a
// checkpoint's files, or a file `checkpoint` or `checkpoint_best` that names it. Throws
// Error{kNotFound} saying what was looked for.
std::string resolve_checkpoint(const std::string& path);

// From now on `prefix` counts as the newest of its directory, and what is saved there later as
// newer: a training goes on from it though others were saved after it.
void make_newest(const std::string& prefix);

// All tensors of the checkpoint at `path` (see resolve_checkpoint), each checked against its
// checksum.
std::map<std::string, Tensor> load_checkpoint(const std::string& path);

struct NamedType {
  std::string name;
  TensorType type;  // -1 fits any size
};

// Throws one Error{kInvalidArgument} that lists the first names, types and shapes that are missing
// or differ. What the checkpoint has beyond `expected` is fine.
void check_compatible(std::span<const NamedType> expected, const BundleReader& reader);

struct CheckpointOptions {
  std::string name = "ckpt";
  int keep_last = 5;  // 0: all
};

// Saves to one directory. One thread.
class CheckpointManager {
 public:
  // The directory is created by the first save. Throws Error{kInvalidArgument} for options that
  // cannot be.
  explicit CheckpointManager(std::string directory, CheckpointOptions options = {});

  // Saves and returns the new checkpoint's prefix. Older ones beyond keep_last go once it is
  // durable. A step that was saved before is replaced. Also removes what crashed writers left.
  // Throws Error; then all that was there still is.
  std::string save(int64_t step, const std::map<std::string, Tensor>& tensors);

  // Keeps the checkpoint of `step` beyond keep_last until another is the best; `checkpoint_best`
  // remembers it. Throws Error{kNotFound} when it is not there.
  void mark_best(int64_t step);
  std::optional<CheckpointInfo> best() const;

  std::vector<CheckpointInfo> list() const;      // those of this name, oldest first
  std::optional<CheckpointInfo> latest() const;  // the newest complete one

 private:
  std::string prefix_of(int64_t step) const;
  void protect_previous(const std::string& prefix) const;
  bool is_own(std::string_view name) const;
  void write_state(std::span<const CheckpointInfo> all) const;
  bool remove_old(std::vector<CheckpointInfo>& all) const;  // true when `all` is shorter now
  void remove_orphans() const;

  std::string directory_;
  CheckpointOptions options_;
};

}  // namespace trireme::io
