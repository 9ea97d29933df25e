// Pods as Kubernetes' controllers start them, one task each: Kubeflow's PET_* and JAX variables, an
// MPIJob's host file, Indexed Jobs (and JobSets, whose pods are those of Indexed Jobs).
//
// A pod may hold a launcher instead, which then is the source (torchrun, mpirun, trireme launch);
// these come last for that reason, and contradict nobody. Names of other pods may appear in DNS
// some seconds after a pod has started: none is looked up here.
#include <algorithm>
#include <fstream>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

constexpr size_t kMaxHostFile = 1 << 20;

Claim pod_claim(const std::string& source, int rank, int tasks) {
  Claim claim;
  claim.is_pod = true;
  claim.spec.source = source;
  claim.spec.rank = rank;
  claim.spec.world_size = tasks;
  claim.spec.local_rank = 0;
  claim.spec.local_size = 1;
  return claim;
}

// Throws when some of what belongs together is not set.
void require_all(const Variables& variables, const std::vector<std::string>& names) {
  const std::string set = variables.first_of(names);
  for (const std::string& name : names) {
    if (variables.has(name)) continue;
    throw invalid_argument(name, " is not set, but ", variables.quote(set), " is: set both");
  }
}

bool any_set(const Variables& variables, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& name) { return variables.has(name); });
}

std::string first_label(const std::string& host) { return host.substr(0, host.find('.')); }

struct Slots {
  std::string host;
  int count = 1;
};

// "host slots=4" (Open MPI), "host:4" (MPICH, Intel MPI) or "host", one a line; # begins a comment.
std::vector<Slots> read_host_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw invalid_argument("the MPI host file ", path, " cannot be read");
  std::vector<Slots> hosts;
  size_t bytes = 0;
  for (std::string text; std::getline(in, text);) {
    bytes += text.size() + 1;
    if (bytes > kMaxHostFile || hosts.size() >= kMaxTasks) {
      throw invalid_argument("the MPI host file ", path, " has more than ", kMaxTasks, " hosts or ",
                             kMaxHostFile, " bytes");
    }
    const std::string where = str_cat(path, ":", hosts.size() + 1);
    std::istringstream words(text.substr(0, text.find('#')));
    Slots slots;
    if (!(words >> slots.host)) continue;
    std::string count;
    for (std::string word; words >> word;) {
      if (word.starts_with("slots=")) count = word.substr(6);
    }
    const size_t colon = slots.host.rfind(':');
    if (colon != std::string::npos && slots.host.find(':') == colon) {
      count = slots.host.substr(colon + 1);
      slots.host.resize(colon);
    }
    slots.host = parse_host(slots.host, where);
    if (!count.empty()) {
      const Environment one{{where, count}};
      slots.count = *Variables(one).count(where);
    }
    hosts.push_back(std::move(slots));
  }
  if (hosts.empty()) throw invalid_argument("the MPI host file ", path, " names no host");
  return hosts;
}

}  // namespace

// Kubeflow Trainer and PyTorchJob give torchrun its arguments as PET_*.
Reading read_kubeflow(const Variables& variables) {
  const std::vector<std::string> names = {"PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR",
                                          "PET_MASTER_PORT"};
  if (!any_set(variables, {"PET_NNODES", "PET_NODE_RANK"})) return {};
  const std::string& nodes = variables.text("PET_NNODES");
  if (const size_t colon = nodes.find(':');
      colon != std::string::npos && nodes.substr(0, colon) != nodes.substr(colon + 1)) {
    throw invalid_argument(variables.quote("PET_NNODES"),
                           ": expected one number of nodes, found a range; give the pods a fixed "
                           "number, or start them with trireme launch --min-workers");
  }
  require_all(variables, {"PET_NNODES", "PET_NODE_RANK"});
  const Environment first{{"PET_NNODES", nodes.substr(0, nodes.find(':'))}};
  const int tasks = *Variables(first).count("PET_NNODES");
  Claim claim = pod_claim("Kubeflow", *variables.index("PET_NODE_RANK"), tasks);
  claim.rank_text = variables.quote("PET_NODE_RANK");
  claim.size_text = variables.quote("PET_NNODES");
  // "auto", "cpu" and "gpu" mean all that the pod has, which one task uses.
  const std::string& processes = variables.text("PET_NPROC_PER_NODE");
  if (!processes.empty() && processes != "auto" && processes != "cpu" && processes != "gpu" &&
      *variables.count("PET_NPROC_PER_NODE") > 1) {
    throw invalid_argument(
        variables.quote("PET_NPROC_PER_NODE"), ": this pod is to run ", processes,
        " processes, and this is one; start them with trireme launch --workers ", processes,
        " --nodes ", tasks, " --node-rank ", claim.spec.rank,
        " --coordinator $PET_MASTER_ADDR:$PET_MASTER_PORT, or set numProcPerNode to 1");
  }
  if (tasks == 1) return {claim, ""};
  require_all(variables, names);
  claim.spec.coordinator =
      to_string({parse_host(variables.text("PET_MASTER_ADDR"), "PET_MASTER_ADDR"),
                 static_cast<int>(*variables.number("PET_MASTER_PORT", 1, 65535))});
  return {claim, ""};
}

// What jax.distributed.initialize() reads, and what Kubeflow's JAXJob sets.
Reading read_jax(const Variables& variables) {
  const bool job = !any_set(variables, {"JAX_NUM_PROCESSES", "JAX_PROCESS_ID"});
  const std::string prefix = job ? "" : "JAX_";
  const std::string size = prefix + "NUM_PROCESSES", rank = prefix + "PROCESS_ID",
                    address = prefix + "COORDINATOR_ADDRESS", port = prefix + "COORDINATOR_PORT";
  // Without the prefix the names are anybody's: only all of them together are JAXJob's.
  if (job && !(variables.has(size) && variables.has(rank) && variables.has(address))) return {};
  require_all(variables, {size, rank});
  Claim claim = pod_claim("JAX", *variables.index(rank), *variables.count(size));
  claim.rank_text = variables.quote(rank);
  claim.size_text = variables.quote(size);
  if (claim.spec.world_size == 1) return {claim, ""};
  require_all(variables, {address, size});
  if (variables.has(port)) {
    claim.spec.coordinator = to_string({parse_host(variables.text(address), address),
                                        static_cast<int>(*variables.number(port, 1, 65535))});
  } else {
    claim.spec.coordinator = to_string(parse_host_port(variables.text(address), address));
  }
  return {claim, ""};
}

// The file that tells mpirun of an MPIJob's hosts; tasks that mpirun starts are Open MPI's or
// PMI's.
Reading read_mpi_job(const Variables& variables, const Machine& machine) {
  const std::string name = variables.first_of(
      {"OMPI_MCA_orte_default_hostfile", "I_MPI_HYDRA_HOST_FILE", "HYDRA_HOST_FILE"});
  if (!variables.has(name)) return {};
  const std::vector<Slots> hosts = read_host_file(variables.text(name));
  int own = -1, tasks = 0;
  for (size_t i = 0; i < hosts.size(); ++i) {
    tasks += hosts[i].count;
    if (first_label(hosts[i].host) == first_label(machine.host_name)) own = static_cast<int>(i);
  }
  if (own < 0) {
    throw invalid_argument(variables.quote(name), ": this host, ", machine.host_name,
                           ", is not among the ", hosts.size(),
                           " hosts of that file, so this is their launcher: start the tasks with "
                           "mpirun -np ",
                           tasks, " trireme train JOB");
  }
  if (tasks != static_cast<int>(hosts.size())) {
    throw invalid_argument(variables.quote(name), ": ", hosts.size(), " hosts are to run ", tasks,
                           " processes, and this is one of a host: start them with mpirun -np ",
                           tasks, " trireme train JOB");
  }
  Claim claim = pod_claim("MPIJob", own, tasks);
  claim.rank_text = str_cat("line ", own + 1, " of ", variables.text(name));
  claim.size_text = str_cat(tasks, " hosts in it");
  claim.own_name = hosts[static_cast<size_t>(own)].host;
  claim.spec.coordinator = to_string({hosts[0].host, kPodPort});
  return {claim, ""};
}

// Kubernetes says which pod of an Indexed Job this is, not of how many, and names the pods
// JOB-INDEX; with a `subdomain` (a headless service, which JobSet makes) they have these names in
// DNS.
Reading read_indexed_job(const ClusterFlags& flags, const Variables& variables,
                         const Machine& machine) {
  const auto index = variables.index(kCompletionIndex);
  if (!index) return {};
  const bool flag = flags.world_size >= 0;
  const auto size = flag ? flags.world_size : variables.count("TRIREME_WORLD_SIZE").value_or(-1);
  if (size < 0) {
    throw invalid_argument(variables.quote(kCompletionIndex),
                           " says which pod of an Indexed Job this is, but nothing says how many "
                           "there are; give --world-size N or set TRIREME_WORLD_SIZE to the job's "
                           "completions (1 when the pod trains by itself)");
  }
  Claim claim = pod_claim("Indexed Job", *index, size);
  claim.rank_text = variables.quote(kCompletionIndex);
  claim.size_text = flag ? str_cat("--world-size ", size) : variables.quote("TRIREME_WORLD_SIZE");
  if (size == 1 || !flags.coordinator.empty() || variables.has("TRIREME_COORDINATOR")) {
    return {claim, ""};
  }
  const std::string suffix = str_cat("-", *index);
  std::string host = machine.host_name;
  if (!first_label(host).ends_with(suffix)) host = variables.text("HOSTNAME");
  std::string label = first_label(host);
  if (!label.ends_with(suffix)) {
    throw invalid_argument(variables.quote(kCompletionIndex),
                           ": expected a host name that ends in ", suffix,
                           ", as pods of an Indexed Job have, found '", machine.host_name,
                           "'; say where pod 0 is with --coordinator or TRIREME_COORDINATOR "
                           "HOST:PORT");
  }
  if (host == machine.host_name) host = machine.full_host_name();
  const std::string domain = host.starts_with(label + ".") ? host.substr(label.size()) : "";
  label.resize(label.size() - suffix.size());
  claim.spec.coordinator = to_string({label + "-0" + domain, kPodPort});
  return {claim, ""};
}

}  // namespace trireme::cluster
