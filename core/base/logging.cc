#include "core/base/logging.h"

#include <glog/logging.h>
#include <unistd.h>

#include <chrono>
#include <ctime>

#include "core/base/error.h"
#include "core/base/log_file.h"
#include "core/base/thread_annotations.h"

namespace trireme {
namespace {

struct FileLog {
  static FileLog& instance() {
    static FileLog log;
    return log;
  }
  void write(const char* level, const std::string& message) {
    MutexLock lock(mutex);
    if (fd < 0) return;
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm local{};
    localtime_r(&seconds, &local);
    char time[32];
    std::strftime(time, sizeof time, "%F %T", &local);
    // One write a line, so that lines of several tasks stay whole; a full disk costs the log only.
    const std::string line = str_cat(time, ' ', level, ": ", message, '\n');
    (void)!write_all(fd, line.data(), line.size());
  }
  Mutex mutex;
  int fd = -1;
};

}  // namespace

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

void log_to_file(const std::string& path) {
  FileLog& log = FileLog::instance();
  const int fd = open_log_file(path);
  MutexLock lock(log.mutex);
  if (log.fd >= 0) ::close(log.fd);
  log.fd = fd;
}

void log_info(const std::string& message) {
  FileLog::instance().write("info", message);
  LOG(INFO) << message;
}
void log_warning(const std::string& message) {
  FileLog::instance().write("warning", message);
  LOG(WARNING) << message;
}
void log_error(const std::string& message) {
  FileLog::instance().write("error", message);
  LOG(ERROR) << message;
}

}  // namespace trireme
