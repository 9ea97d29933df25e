// What process managers of MPI programs set: Open MPI's mpirun, PMI-1/2 (MPICH's mpiexec, srun
// --mpi=pmi2) and PMIx (srun --mpi=pmix, prterun).
#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

// "1311375360.0;tcp://192.0.2.2,10.0.0.2:58983;tcp6://[fd00::2]:39119": where mpirun listens.
std::vector<std::string> hosts_in_uri(std::string_view uri) {
  std::vector<std::string> hosts;
  constexpr std::string_view kScheme = "tcp://";
  const size_t begin = uri.find(kScheme);
  if (begin == std::string_view::npos) return hosts;
  uri.remove_prefix(begin + kScheme.size());
  uri = uri.substr(0, uri.find_first_of(":;"));
  while (!uri.empty()) {
    const size_t comma = uri.find(',');
    hosts.emplace_back(uri.substr(0, comma));
    uri.remove_prefix(comma == std::string_view::npos ? uri.size() : comma + 1);
  }
  return hosts;
}

void require_both(const Variables& variables, const std::string& rank, const std::string& size) {
  for (const std::string& name : {rank, size}) {
    if (variables.has(name)) continue;
    throw invalid_argument(name, " is not set, but ", variables.quote(name == rank ? size : rank),
                           " is: the launcher sets both");
  }
}

// Slurm knows an address at which to meet; the process manager does not.
void take_from_slurm(Claim& claim, const Claim& slurm) {
  claim.spec.coordinator = slurm.spec.coordinator;
  claim.spec.job_id = slurm.spec.job_id;
  claim.spec.local_rank = slurm.spec.local_rank;
  claim.spec.local_size = slurm.spec.local_size;
  claim.one_task_per_host = slurm.one_task_per_host;
}

}  // namespace

Reading read_open_mpi(const Variables& variables) {
  const std::string rank = "OMPI_COMM_WORLD_RANK", size = "OMPI_COMM_WORLD_SIZE";
  if (!variables.has(rank) && !variables.has(size)) return {};
  require_both(variables, rank, size);
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "Open MPI";
  spec.rank = *variables.index(rank);
  spec.world_size = *variables.count(size);
  spec.local_rank = variables.index("OMPI_COMM_WORLD_LOCAL_RANK").value_or(-1);
  spec.local_size = variables.count("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(-1);
  spec.coordinator = "mpi";
  spec.job_id = variables.text(variables.first_of({"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"}));
  claim.rank_text = variables.quote(rank);
  claim.size_text = variables.quote(size);
  claim.one_task_per_host = spec.local_size == 1;
  const std::string& mpirun = variables.text("OMPI_MCA_orte_hnp_uri");
  const std::string& daemon = variables.text("OMPI_MCA_orte_local_daemon_uri");
  claim.under_remote_daemon = !daemon.empty() && daemon != mpirun;
  claim.landmarks = hosts_in_uri(mpirun);
  return {claim, ""};
}

Reading read_pmi(const Variables& variables) {
  const std::string rank = "PMI_RANK", size = "PMI_SIZE";
  if (!variables.has(rank) && !variables.has(size)) return {};
  require_both(variables, rank, size);
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "PMI";
  spec.rank = *variables.index(rank);
  spec.world_size = *variables.count(size);
  // MPICH's mpiexec says these.
  spec.local_rank = variables.index("MPI_LOCALRANKID").value_or(-1);
  spec.local_size = variables.count("MPI_LOCALNRANKS").value_or(-1);
  spec.coordinator = "mpi";
  spec.job_id = variables.text("PMI_JOBID");
  claim.rank_text = variables.quote(rank);
  claim.size_text = variables.quote(size);
  const Reading slurm = read_slurm(variables);
  if (slurm.claim && slurm.claim->spec.rank == spec.rank &&
      slurm.claim->spec.world_size == spec.world_size) {
    take_from_slurm(claim, *slurm.claim);
  }
  return {claim, ""};
}

Reading read_pmix(const Variables& variables) {
  if (!variables.has("PMIX_RANK")) return {};
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "PMIx";
  spec.rank = *variables.index("PMIX_RANK");
  spec.world_size = 0;
  spec.local_rank = spec.local_size = -1;
  spec.coordinator = "mpi";
  spec.job_id = variables.text("PMIX_NAMESPACE");
  claim.rank_text = variables.quote("PMIX_RANK");
  // PMIx has no variable for the number of tasks. Where srun started them, Slurm's is it.
  if (!spec.job_id.starts_with("slurm.pmix.")) return {claim, ""};
  const Reading slurm = read_slurm(variables);
  if (slurm.claim) {
    spec.world_size = slurm.claim->spec.world_size;
    claim.size_text = slurm.claim->size_text;
    take_from_slurm(claim, *slurm.claim);
  }
  return {claim, ""};
}

}  // namespace trireme::cluster
