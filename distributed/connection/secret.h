// What a job's secret must be, wherever it comes from.
#pragma once

#include <string>

#include "core/base/error.h"

namespace trireme {

inline constexpr size_t kShortestSecret = 16;  // below that, all can be tried
inline constexpr size_t kLongestSecret = 1024;

// Throws Error{kInvalidArgument} when `secret` does not have 16 … 1,024 printable ASCII characters
// without spaces. `from`: where it comes from, for the message: "TRIREME_SECRET", a file.
void check_secret(const std::string& secret, const std::string& from);

// A new one, of 256 random bits. Throws Error{kFailed} when the system gives none.
std::string draw_secret();
// The secret in a file that only its owner may read, or in a pipe; white space may be behind it.
// Throws Error naming the file, and `from` before it: "--secret-file".
std::string read_secret_file(const std::string& path, const std::string& from);

// Throws Error{kInvalidArgument} when a job's name has characters that cannot be sent, or too many.
void check_job_name(const std::string& name);

// The error of a server or a client of another host that has none. `who`: "the coordinator on
// 10.0.0.1:2222".
Error no_secret(const std::string& who);

}  // namespace trireme
