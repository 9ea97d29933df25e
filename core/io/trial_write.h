// Whether a folder will take files, found out before there is anything to lose.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trireme::io {

// Creates the folder where it is missing, writes a small file into it, durably, and removes it.
// Throws the Error{kInvalidArgument, kResourceExhausted, kFailed} that a later write would throw.
void trial_write(const std::string& directory);

// Bytes that are free for this user where the folder is; nothing where the system does not say.
std::optional<uint64_t> free_bytes(const std::string& directory);

}  // namespace trireme::io
