// What `trireme inspect` prints: any known kind of file, as text.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace trireme::io {

// One kind of file. The first in a list whose `detect` says yes prints; other folders make lists of
// their own kinds.
struct Inspector {
  std::string kind;  // for the message when nothing fits: "a checkpoint (…)"
  std::function<bool(const std::string& path)> detect;  // cheap, does not throw
  std::function<std::string(const std::string& path)> print;
};

// A checkpoint: its tensors with type, shape, bytes and, for floats, least, greatest, mean and
// norm. A directory of checkpoints: each with its name, number of tensors and size.
std::vector<Inspector> checkpoint_inspectors();

// Throws Error{kNotFound} for a missing path, Error{kInvalidArgument} listing the known kinds for
// an unknown one, and whatever reading the file throws.
std::string inspect(const std::string& path, std::span<const Inspector> inspectors);
std::string inspect(const std::string& path);  // with checkpoint_inspectors()

}  // namespace trireme::io
