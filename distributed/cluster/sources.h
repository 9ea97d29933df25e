// Private to this folder and its tests: what each source of a ClusterSpec says, before one is
// chosen.
//
// A source is read without asking the network or any program; only resolve.cc, for the source that
// won, asks the Machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "distributed/cluster/cluster_spec.h"

namespace trireme::cluster {

constexpr int kMaxTasks = 65536;
// Where pods meet when nothing says a port: each has an address of its own.
constexpr int kPodPort = 2222;
// Which pod of an Indexed Job this is.
inline const std::string kCompletionIndex = "JOB_COMPLETION_INDEX";

// The environment with numbers read out of it. An empty variable counts as not set.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  std::vector<std::string> names() const;  // of all, sorted
  bool has(const std::string& name) const { return !text(name).empty(); }
  // Empty when not set.
  const std::string& text(const std::string& name) const;
  // Throws Error{kInvalidArgument} with the variable and its value when it is not a number or
  // outside [low, high].
  std::optional<int64_t> number(const std::string& name, int64_t low, int64_t high) const;
  std::optional<int> count(const std::string& name) const;  // 1 … kMaxTasks
  std::optional<int> index(const std::string& name) const;  // 0 … kMaxTasks - 1
  // "NAME=value"
  std::string quote(const std::string& name) const { return name + "=" + text(name); }
  // The first of the names that is set; the last one when none is.
  std::string first_of(const std::vector<std::string>& names) const;

 private:
  const Environment& environment_;
};

// What a source says. In `spec`: rank, counts, coordinator, job id; world_size 0: it does not say.
struct Claim {
  ClusterSpec spec;
  std::string rank_text, size_text;    // "RANK=1", "WORLD_SIZE=4": for messages
  bool one_task_per_host = false;      // each task may hold a launcher that starts the real ones
  bool is_pod = false;                 // it may hold any launcher, or one task
  bool under_remote_daemon = false;    // mpirun's daemon started it, and srun may have started that
  std::string own_name;                // this task's host as its peers call it; empty: not said
  std::vector<std::string> landmarks;  // hosts that every task can reach, when there is no address

  int tasks() const { return spec.world_size + spec.parameter_servers; }
};

struct Machine;

struct Reading {
  std::optional<Claim> claim;
  std::string note = "not set";  // why there is no claim
};

Reading read_flags(const ClusterFlags& flags, const Variables& variables);
Reading read_trireme(const Variables& variables);
Reading read_tf_config(const Variables& variables);
Reading read_torchrun(const Variables& variables);
Reading read_open_mpi(const Variables& variables);
Reading read_pmi(const Variables& variables);
Reading read_pmix(const Variables& variables);
Reading read_slurm(const Variables& variables);

// What is asked of the machine; tests answer instead.
struct Machine {
  std::string host_name;
  std::function<std::string()> full_host_name;  // with its domain, where that is known
  int64_t user_id = 0;
  int64_t process_id = 0;
  // The first numeric address of a host; empty when its name does not resolve.
  std::function<std::string(const std::string& host)> address_of;
  // This machine's own address on the way to a host; empty when there is no way.
  std::function<std::string(const std::string& host)> route_to;
  // An address of this machine that is not loopback; empty when there is none.
  std::function<std::string()> interface_address;
  // Slurm's NodeAddr of a node; empty when Slurm does not answer or does not know it.
  std::function<std::string(const std::string& node)> slurm_node_address;
};
Machine this_machine();

// Pods of Kubernetes' controllers (kubernetes.cc, volcano.cc): each pod is one task.
Reading read_kubeflow(const Variables& variables);
Reading read_jax(const Variables& variables);
Reading read_volcano(const Variables& variables, const std::string& host_name);
Reading read_mpi_job(const Variables& variables, const Machine& machine);
Reading read_indexed_job(const ClusterFlags& flags, const Variables& variables,
                         const Machine& machine);

// Runs `scontrol show node`, for at most ten seconds.
std::string ask_scontrol(const std::string& node);
// "NodeAddr=…" in what it printed; empty when it is not there.
std::string node_address_in(std::string_view scontrol_output);

ClusterSpec resolve(const ClusterFlags& flags, const Environment& environment,
                    const Machine& machine);

}  // namespace trireme::cluster
