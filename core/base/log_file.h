// Opening a file that a log is appended to.
#pragma once

#include <string>

namespace trireme {

// The descriptor of `path`, for reading and appending, made when it is not there; the caller closes
// it. A log grows under one name, so a symbolic link is not followed: whoever may write to the
// folder could let a log grow into another file. Throws Error{kInvalidArgument} for a link, for
// what is no regular file, and when it cannot be opened.
int open_log_file(const std::string& path);

// Writes all of it. False, with errno, when it cannot.
bool write_all(int fd, const char* bytes, size_t count);

}  // namespace trireme
