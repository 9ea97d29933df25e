// Errors: what went wrong in the world (Error), and what must never happen (TRIREME_CHECK).
//
// An Error's message is one sentence for a user: what was expected, what was found, where, what to
// do. Nothing below main() exits the process; main() turns an Error into one line and exit_code().
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trireme {

enum class ErrorCode {
  kInvalidArgument,    // the input is wrong: a job file, a shape, a data file, a flag
  kNotFound,           // a file, variable or device that was asked for is not there
  kDataLoss,           // a file is truncated or corrupt
  kResourceExhausted,  // out of memory or disk
  kDeadlineExceeded,   // a wait took longer than it may
  kUnavailable,        // a peer is lost; a restart may help
  kCancelled,          // stopped by a signal or by the caller
  kFailed,             // the work itself failed, e.g. a loss that is not a number
  kInternal,           // our own bug
};

std::string_view name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

  // The same with where it happened in front: "<context>: <message>".
  Error with_context(std::string_view context) const;

  // What the program exits with: 2 for bad input, 75 for a lost peer, else 1.
  int exit_code() const;

 private:
  ErrorCode code_;
};

// Joins anything that can be streamed into one string.
template <typename... Parts>
std::string str_cat(const Parts&... parts) {
  std::ostringstream out;
  (void)(out << ... << parts);
  return out.str();
}

template <typename... Parts>
Error invalid_argument(const Parts&... parts) {
  return {ErrorCode::kInvalidArgument, str_cat(parts...)};
}
template <typename... Parts>
Error data_loss(const Parts&... parts) {
  return {ErrorCode::kDataLoss, str_cat(parts...)};
}
template <typename... Parts>
Error not_found(const Parts&... parts) {
  return {ErrorCode::kNotFound, str_cat(parts...)};
}
template <typename... Parts>
Error failed(const Parts&... parts) {
  return {ErrorCode::kFailed, str_cat(parts...)};
}

[[noreturn]] void throw_check_failure(const char* file, int line, const char* condition,
                                      const std::string& message);

}  // namespace trireme

// Throws Error{kInternal} when `condition` is false: a bug of ours, not of the user's.
#define TRIREME_CHECK(condition, ...)                                                    \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::trireme::throw_check_failure(__FILE__, __LINE__, #condition,                     \
                                     ::trireme::str_cat("" __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)
