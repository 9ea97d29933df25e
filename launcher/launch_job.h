// `trireme launch`: makes the tasks of a job on this machine out of options, hosts their
// coordinator, and hands them to the supervisor.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "distributed/connection/tls_settings.h"
#include "distributed/metrics/metrics_address.h"

namespace trireme {

class JobSchema;

struct LaunchOptions {
  // What to run: a job file with more arguments for `trireme train`, or a program with its
  // arguments.
  std::string job;
  std::vector<std::string> train_arguments;
  std::vector<std::string> program;
  std::shared_ptr<const JobSchema> schema = nullptr;  // of the job file; not null with `job`

  int workers = 1;  // on this machine
  int parameter_servers = 0;
  int ps_replicas = 1;
  double ps_memory_gib = 0;            // of each; 0: its share of 80% of the machine's
  double ps_snapshot_interval_s = 60;  // where a server may have to go on from one; 0: none
  // The first ones of this machine; nothing: none. `metrics` is of workers and, behind them, of
  // servers, for which `ps_metrics` comes first.
  std::optional<MetricsAddress> metrics, ps_metrics;
  int max_restarts = 0;
  int min_workers = 0;
  std::string log_directory;  // empty: chosen
  int threads = 0;            // of each task; 0: OMP_NUM_THREADS, else its share of the cores
  bool pin = true;            // each task to its share of the cores

  int nodes = 1;
  int node_rank = 0;
  std::string coordinator;  // "host:port"; may be empty on one machine
  int port = 0;             // of the coordinator on one machine; 0: any that is free
  std::string listen;  // empty: loopback on one machine, else the address towards the coordinator
  std::string secret_file;
  TlsSettings tls;  // what neither it nor TRIREME_TLS* say is as the job says

  double grace_s = 30;
  // Nothing: as the job says (distributed.join_timeout_s, …), else 120, 10 and 60.
  std::optional<double> join_timeout_s, stall_warning_s, collective_timeout_s;
};

// Runs the job to its end and returns the exit code. REQUIRES: the program's main thread, no others
// yet. Throws Error{kInvalidArgument} and {kNotFound} before anything starts: a job file that is
// wrong, a program that is not there, options that do not fit together.
int launch(const LaunchOptions& options);

}  // namespace trireme
