// Logging through glog, behind four functions, so that no other header includes glog.
#pragma once

#include <string>

namespace trireme {

struct LogOptions {
  std::string directory;  // empty: to standard error
  bool verbose = false;   // also what is of use only to a developer
};

// Call once, early in main(). Without it messages go to standard error.
void init_logging(const char* program, const LogOptions& options);

// From now on every message, of any importance, is also appended to this file, with the time.
// Throws Error{kInvalidArgument} when it cannot be written. Call from one thread.
void log_to_file(const std::string& path);

void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace trireme
