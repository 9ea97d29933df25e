// A ClusterSpec: which task this process is, of how many, and where the others are met.
//
// A plain value, made once at the start by resolve_cluster() and logged; nothing reads the
// environment after that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "distributed/connection/tls_settings.h"

namespace trireme {

// An evaluator is no member of the group: it reads the checkpoints that the others write.
enum class TaskType { kWorker, kParameterServer, kEvaluator };

std::string name(TaskType type);  // "worker", "ps", "evaluator"

struct ClusterSpec {
  std::string source = "single process";  // "flags", "TRIREME_*", "TF_CONFIG", "torchrun",
                                          // "Open MPI", "PMI", "PMIx", "Slurm", "Kubeflow",
                                          // "JAX", "Volcano", "MPIJob", "Indexed Job",
                                          // "single process"
  std::vector<std::string> reasons;       // a line for each source: taken, or why not;
                                          // then for the address and the secret

  TaskType task_type = TaskType::kWorker;
  int rank = 0;  // among the tasks of this type
  int world_size = 1;
  int parameter_servers = 0;
  int ps_replicas = 1;  // servers that hold each row: 1 or 2
  int local_rank = 0;   // among the tasks of this host; -1: unknown
  int local_size = 1;   // -1: unknown

  // Where the coordinator is: "host:port"; empty for a single process. "mpi": rank 0 opens a port
  // and tells the others by an MPI broadcast.
  std::string coordinator;
  bool hosts_coordinator = false;  // this task starts it (rank 0, unless a launcher did)
  // The address that servers of this task bind, and the name by which peers reach them: loopback
  // unless the source names other hosts.
  std::string listen = "127.0.0.1";
  // What the coordinator binds when this task hosts it; empty: `listen`. Another address where the
  // coordinator's name is loopback on this host only ("127.0.1.1 n1" in /etc/hosts).
  std::string coordinator_listen;
  std::string host;  // this host's name, for messages and for finding who shares memory

  std::string job_id;  // keeps jobs on one host apart (shared memory names, ports)
  // Every connection proves it. Empty where others could reach the tasks and nobody has given one,
  // and under "mpi": see settle_secret().
  std::string secret;
  TlsSettings tls;  // see security.h

  bool is_single_process() const { return coordinator.empty(); }
};

// What the command line may say. Empty or negative: not given.
struct ClusterFlags {
  int rank = -1;
  int world_size = -1;
  bool is_server = false;  // `rank` is among the parameter servers
  // Where a launcher starts equal tasks (MPI, Slurm, torchrun), the last so many of them serve.
  int parameter_servers = -1;
  int ps_replicas = -1;
  std::string coordinator;
  std::string listen;
  TlsSettings tls;
  TlsSettings job_tls;  // `tls { }` of the job: for what neither flags nor TRIREME_TLS* say
};

using Environment = std::map<std::string, std::string>;
Environment process_environment();

// `flags`, then the TRIREME_TLS* variables, then `job`. Throws Error{kInvalidArgument} for a mode
// that there is not.
TlsSettings resolve_tls(const TlsSettings& flags, const Environment& environment,
                        const TlsSettings& job);

// The first source that is there decides: flags, TRIREME_*, TF_CONFIG, torchrun's variables, Open
// MPI, PMI or PMIx, Slurm, then what Kubernetes' controllers say of a pod (PET_*, JAX_*, VC_*, an
// MPIJob's host file, JOB_COMPLETION_INDEX); else a single process. Throws Error{kInvalidArgument}
// when two sources disagree about rank or world size, when one is incomplete or malformed, when
// TF_CONFIG lists several tasks at one address, and when several tasks of one launcher would each
// be a world of 1.
ClusterSpec resolve_cluster(const ClusterFlags& flags, const Environment& environment);

// The TRIREME_* variables that make resolve_cluster() return `spec`: what a launcher gives a task.
Environment to_environment(const ClusterSpec& spec);
Environment to_environment(const TlsSettings& tls);  // those that resolve_tls() reads

// What `trireme cluster` prints.
std::string describe(const ClusterSpec& spec);

}  // namespace trireme
