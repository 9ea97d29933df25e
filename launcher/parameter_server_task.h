// A parameter-server task: `trireme ps`, and those of `trireme train --ps N` that are to serve.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "distributed/cluster/cluster_spec.h"
#include "distributed/metrics/metrics_address.h"

namespace trireme {

class OpTable;

struct ParameterServerTaskOptions {
  int threads = 0;        // 0: one for each core
  double memory_gib = 0;  // of all tables; 0: 80% of the machine's
  bool shared_memory = true;
  std::string snapshot_directory;  // empty: none
  double snapshot_interval_s = 60;
  std::optional<MetricsAddress> metrics;  // the first of this host's tasks; nothing: none
  double join_timeout_s = 0;              // until the coordinator is there; 0: a minute
  std::shared_ptr<const OpTable> ops;     // of the program; null: Trireme's own
};

// Serves until the job is over or `stop` is set. REQUIRES: spec.task_type is kParameterServer.
// Throws what ended it otherwise.
void run_parameter_server(const ClusterSpec& spec, const ParameterServerTaskOptions& options,
                          const std::atomic<bool>& stop);

}  // namespace trireme
