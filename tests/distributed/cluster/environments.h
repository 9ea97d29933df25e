// Environments as launchers make them, and a machine that answers without a network.
#pragma once

#include <gmock/gmock.h>

#include <map>
#include <string>

#include "core/base/error.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {

// A host n2 (10.0.0.2) in a network where n1 … n4 are 10.0.0.1 … 4.
inline Machine machine_n2() {
  Machine machine;
  machine.host_name = "n2";
  machine.full_host_name = [] { return std::string("n2.example.org"); };
  machine.user_id = 1000;
  machine.process_id = 77;
  machine.address_of = [](const std::string& host) -> std::string {
    if (host.size() == 2 && host[0] == 'n' && host[1] >= '1' && host[1] <= '4') {
      return std::string("10.0.0.") + host[1];
    }
    const bool numeric = host.find_first_not_of("0123456789.") == std::string::npos;
    return numeric ? host : "";
  };
  machine.route_to = [of = machine.address_of](const std::string& host) -> std::string {
    const std::string address = of(host);
    if (address.starts_with("127.")) return "127.0.0.1";
    return address.empty() ? "" : "10.0.0.2";
  };
  machine.interface_address = [] { return std::string("192.168.7.2"); };
  machine.slurm_node_address = [](const std::string&) { return std::string(); };
  return machine;
}

inline Environment operator+(Environment all, const Environment& more) {
  for (const auto& [name, value] : more) all[name] = value;
  return all;
}

inline Environment torchrun(int rank, int size) {
  return {{"RANK", std::to_string(rank)},
          {"WORLD_SIZE", std::to_string(size)},
          {"MASTER_ADDR", "n1"},
          {"MASTER_PORT", "29500"}};
}

// Recorded from Open MPI 4.1.
inline Environment open_mpi(int rank, int size, int local_rank, int local_size) {
  return {{"OMPI_COMM_WORLD_RANK", std::to_string(rank)},
          {"OMPI_COMM_WORLD_SIZE", std::to_string(size)},
          {"OMPI_COMM_WORLD_LOCAL_RANK", std::to_string(local_rank)},
          {"OMPI_COMM_WORLD_LOCAL_SIZE", std::to_string(local_size)},
          {"OMPI_MCA_orte_hnp_uri",
           "1311375360.0;tcp://10.0.0.1,172.17.0.1:58983;tcp6://[fd00::2]:39119"},
          {"OMPI_MCA_orte_local_daemon_uri",
           "1311375360.0;tcp://10.0.0.1,172.17.0.1:58983;tcp6://[fd00::2]:39119"},
          {"OMPI_MCA_orte_precondition_transports", "bfb449e23e0c93fa-9a68dde24a10ee7f"},
          {"PMIX_NAMESPACE", "1311375361"},
          {"PMIX_RANK", std::to_string(rank)}};
}

// A batch script's shell, as Slurm 22.05 makes it for `sbatch -N2 -n4`.
inline Environment batch_shell() {
  return {{"SLURMD_NODENAME", "n1"},
          {"SLURM_JOB_ID", "3"},
          {"SLURM_JOB_NODELIST", "n[1-2]"},
          {"SLURM_LOCALID", "0"},
          {"SLURM_NNODES", "2"},
          {"SLURM_NODEID", "0"},
          {"SLURM_NODELIST", "n[1-2]"},
          {"SLURM_NPROCS", "4"},
          {"SLURM_NTASKS", "4"},
          {"SLURM_PROCID", "0"},
          {"SLURM_TASKS_PER_NODE", "3,1"}};
}

// A task of `srun`, as Slurm 22.05 makes it; rank `rank` is on node n<node + 1>.
inline Environment srun(int rank, int size, int node, const std::string& tasks_per_node,
                        const std::string& nodes = "n[1-2]") {
  return batch_shell() + Environment{{"SLURMD_NODENAME", "n" + std::to_string(node + 1)},
                                     {"SLURM_STEP_ID", "0"},
                                     {"SLURM_STEPID", "0"},
                                     {"SLURM_PROCID", std::to_string(rank)},
                                     {"SLURM_NTASKS", std::to_string(size)},
                                     {"SLURM_NODEID", std::to_string(node)},
                                     {"SLURM_STEP_NUM_TASKS", std::to_string(size)},
                                     {"SLURM_STEP_NODELIST", nodes},
                                     {"SLURM_STEP_TASKS_PER_NODE", tasks_per_node}};
}

inline ClusterSpec resolve(const Environment& environment, const ClusterFlags& flags = {}) {
  return resolve(flags, environment, machine_n2());
}

// The message of the Error{kInvalidArgument} that resolving ends with; empty when there is none.
inline std::string refusal(const Environment& environment, const ClusterFlags& flags = {},
                           const Machine& machine = machine_n2()) {
  try {
    resolve(flags, environment, machine);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace trireme::cluster
