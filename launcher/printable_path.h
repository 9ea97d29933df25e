// A check of options whose value becomes a file or a folder.
#pragma once

#include <string>

namespace trireme {

// For CLI::Option::check(): what is wrong with a path that has control characters, which would
// break the lines of logs and messages; empty when nothing is.
inline std::string printable_path(const std::string& path) {
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      return "expected a path without control characters, found byte " + std::to_string(byte);
    }
  }
  return "";
}

}  // namespace trireme
