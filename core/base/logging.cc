#include "core/base/logging.h"

#include <glog/logging.h>

namespace trireme {

void init_logging(const char* program, const LogOptions& options) {
  static std::string kept_program;  // glog keeps the pointer
  kept_program = program;
  if (options.directory.empty()) {
    FLAGS_logtostderr = true;
  } else {
    FLAGS_log_dir = options.directory;
    FLAGS_stderrthreshold = google::GLOG_ERROR;
  }
  FLAGS_minloglevel = options.verbose ? google::GLOG_INFO : google::GLOG_WARNING;
  if (!google::IsGoogleLoggingInitialized()) google::InitGoogleLogging(kept_program.c_str());
}

void log_info(const std::string& message) { LOG(INFO) << message; }
void log_warning(const std::string& message) { LOG(WARNING) << message; }
void log_error(const std::string& message) { LOG(ERROR) << message; }

}  // namespace trireme
