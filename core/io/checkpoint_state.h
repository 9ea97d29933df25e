// TensorFlow's text file `checkpoint`: which checkpoints a directory has, and the latest. Internal
// to core/io.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace trireme::io {

struct CheckpointState {
  std::string latest;            // a prefix, relative to the file's directory or absolute
  std::vector<std::string> all;  // oldest first
};

// Throws Error{kInvalidArgument} with line and column for text that is not such a file; `path` is
// for the message.
CheckpointState parse_checkpoint_state(const std::string& path, const std::string& text);
std::string format_checkpoint_state(const CheckpointState& state);

// Nothing when the file is missing. Throws as parse_checkpoint_state and read_file do.
std::optional<CheckpointState> read_checkpoint_state(const std::string& path);

}  // namespace trireme::io
