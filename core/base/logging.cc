#include "core/base/logging.h"

#include <glog/logging.h>

#include <chrono>
#include <ctime>
#include <fstream>

#include "core/base/error.h"
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
    if (!out.is_open()) return;
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm local{};
    localtime_r(&seconds, &local);
    char time[32];
    std::strftime(time, sizeof time, "%F %T", &local);
    out << time << ' ' << level << ": " << message << std::endl;
  }
  Mutex mutex;
  std::ofstream out;
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
  MutexLock lock(log.mutex);
  log.out.open(path, std::ios::app);
  if (!log.out) throw invalid_argument(path, ": the log cannot be written");
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
