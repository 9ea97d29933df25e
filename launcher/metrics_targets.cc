#include "launcher/metrics_targets.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "distributed/cluster/address.h"

namespace trireme {

std::optional<MetricsAddress> server_metrics(const LaunchOptions& options) {
  if (options.ps_metrics) return options.ps_metrics;
  if (options.metrics) return behind(*options.metrics, options.workers);
  return std::nullopt;
}

std::string option_text(const MetricsAddress& address) {
  return cluster::to_string({address.host, address.port});
}

void check_metrics(const LaunchOptions& options) {
  if (options.metrics && options.job.empty()) {
    throw invalid_argument(
        "--metrics: what is behind -- is not `trireme train` and serves no metrics; for those of "
        "parameter servers give --ps-metrics-port");
  }
  if (options.ps_metrics && options.parameter_servers == 0) {
    throw invalid_argument("--ps-metrics-port: this machine has no parameter servers; give --ps");
  }
  if (options.metrics) behind(*options.metrics, options.workers - 1);
  const auto servers = server_metrics(options);
  if (servers && options.parameter_servers > 0) behind(*servers, options.parameter_servers - 1);
}

std::string describe_metrics(const LaunchOptions& options) {
  const auto text = [](const MetricsAddress& first, int tasks, const std::string& whose) {
    if (tasks == 0) return std::string();
    if (first.port == 0) return str_cat(", ", whose, " say where their metrics are");
    return str_cat(", metrics of ", whose, " at http://", first.to_string(), "/metrics",
                   tasks > 1 ? str_cat(" and on the ports up to ", first.port + tasks - 1) : "");
  };
  const auto servers = server_metrics(options);
  return (options.metrics ? text(*options.metrics, options.workers, "workers") : "") +
         (servers ? text(*servers, options.parameter_servers, "parameter servers") : "");
}

std::unique_ptr<MetricsTargetsFile> MetricsTargetsFile::make(const std::string& folder,
                                                             const LaunchOptions& options) {
  nlohmann::ordered_json groups = nlohmann::ordered_json::array();
  const auto add = [&](const MetricsAddress& first, int tasks, const char* kind, int first_rank) {
    for (int i = 0; first.port != 0 && i < tasks; ++i) {
      groups.push_back({{"targets", {behind(first, i).to_string()}},
                        {"labels", {{"task", str_cat(kind, "-", first_rank + i)}}}});
    }
  };
  if (options.metrics) {
    add(*options.metrics, options.workers, "worker", options.node_rank * options.workers);
  }
  if (const auto servers = server_metrics(options)) {
    add(*servers, options.parameter_servers, "ps", options.node_rank * options.parameter_servers);
  }
  if (groups.empty()) return nullptr;
  const std::string path = str_cat(folder, "/metrics-", options.node_rank, ".json");
  io::write_file_atomically(path, groups.dump(2) + "\n");
  return std::unique_ptr<MetricsTargetsFile>(new MetricsTargetsFile(path));
}

MetricsTargetsFile::~MetricsTargetsFile() { ::unlink(path_.c_str()); }

}  // namespace trireme
