// Where the tasks of a launcher serve /metrics, and how Prometheus hears of it: a file beside the
// job's logs, in the format of its file-based discovery.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "launcher/launch_job.h"

namespace trireme {

// The first address of this machine's servers; nothing: they serve none.
std::optional<MetricsAddress> server_metrics(const LaunchOptions& options);

// As --metrics takes it: "127.0.0.1:9100".
std::string option_text(const MetricsAddress& address);

// Throws Error{kInvalidArgument} when there are not enough ports, or the options ask for what is
// not there.
void check_metrics(const LaunchOptions& options);

// ", metrics at http://127.0.0.1:9100/metrics and the 3 ports after it"; empty: there are none.
std::string describe_metrics(const LaunchOptions& options);

// LOGS/metrics-NODE.json, where NODE is the launcher's, for several may share the folder. Removed
// when the object goes: with the job.
class MetricsTargetsFile {
 public:
  // Null when there are no metrics, or on ports that the tasks choose. Throws Error when it cannot
  // be written.
  static std::unique_ptr<MetricsTargetsFile> make(const std::string& folder,
                                                  const LaunchOptions& options);
  ~MetricsTargetsFile();
  MetricsTargetsFile(const MetricsTargetsFile&) = delete;

 private:
  explicit MetricsTargetsFile(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace trireme
