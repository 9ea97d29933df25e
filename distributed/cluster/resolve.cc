// Which source wins, whether the others agree with it, and what the machine adds.
#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/agreement.h"
#include "distributed/cluster/server_limit.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

struct Source {
  std::string name;
  std::function<Reading()> read;
};

std::vector<Source> sources(const ClusterFlags& flags, const Variables& variables,
                            const Machine& machine) {
  return {{"flags", [&] { return read_flags(flags, variables); }},
          {"TRIREME_*", [&] { return read_trireme(variables); }},
          {"TF_CONFIG", [&] { return read_tf_config(variables); }},
          {"torchrun", [&] { return read_torchrun(variables); }},
          {"Open MPI", [&] { return read_open_mpi(variables); }},
          {"PMI", [&] { return read_pmi(variables); }},
          {"PMIx", [&] { return read_pmix(variables); }},
          {"Slurm", [&] { return read_slurm(variables); }},
          {"Kubeflow", [&] { return read_kubeflow(variables); }},
          {"JAX", [&] { return read_jax(variables); }},
          {"Volcano", [&] { return read_volcano(variables, machine.host_name); }},
          {"MPIJob", [&] { return read_mpi_job(variables, machine); }},
          {"Indexed Job", [&] { return read_indexed_job(flags, variables, machine); }}};
}

void check_range(const Claim& claim) {
  const ClusterSpec& spec = claim.spec;
  if (spec.world_size == 0) {
    throw invalid_argument(claim.rank_text, " is set, but nothing says how many tasks there are; ",
                           "give --rank and --world-size, or start the tasks with mpirun or srun");
  }
  if (spec.task_type == TaskType::kEvaluator) return;  // in no group
  const bool worker = spec.task_type == TaskType::kWorker;
  const int count = worker ? spec.world_size : spec.parameter_servers;
  if (spec.rank >= count) {
    throw invalid_argument(claim.rank_text, ": expected a rank below ", count, " (",
                           worker ? claim.size_text : str_cat("the number of parameter servers"),
                           ")");
  }
  if (spec.local_size >= 0 && spec.local_rank >= spec.local_size) {
    throw invalid_argument(claim.rank_text, ": the rank on this host, ", spec.local_rank,
                           ", must be below the number of tasks on it, ", spec.local_size);
  }
}

// The claim of the first source that makes one. The others must not contradict it.
Claim choose(const ClusterFlags& flags, const Variables& variables, const Machine& machine,
             std::vector<std::string>& reasons) {
  std::optional<Claim> winner;
  for (const Source& source : sources(flags, variables, machine)) {
    if (!winner) {
      Reading reading = source.read();
      if (!reading.claim) {
        reasons.push_back(str_cat(source.name, ": ", reading.note));
        continue;
      }
      winner = std::move(reading.claim);
      check_range(*winner);
      reasons.push_back(
          str_cat(source.name, ": taken: ", winner->rank_text, ", ", winner->size_text));
      continue;
    }
    Reading reading;
    try {
      reading = source.read();
    } catch (const Error& error) {
      reading.note = str_cat("not needed, and not readable: ", error.what());
    }
    reasons.push_back(
        str_cat(source.name, ": ",
                reading.claim ? check_agreement(*winner, *reading.claim) : reading.note));
  }
  if (winner) {
    const int given = flags.world_size;
    if (given >= 0 && given != winner->spec.world_size && given != winner->tasks()) {
      throw invalid_argument("--world-size ", given, ", but ", winner->size_text);
    }
    return *winner;
  }
  reasons.push_back("single process: taken, because no source names other tasks");
  return {};
}

// The last of the tasks that a launcher started alike serve the others.
void split_off_servers(int servers, Claim& claim) {
  ClusterSpec& spec = claim.spec;
  const int tasks = spec.world_size;
  if (servers >= tasks) {
    throw invalid_argument("--parameter-servers ", servers, ", but ", claim.size_text, ": of ",
                           tasks, tasks == 1 ? " task" : " tasks",
                           " at least one must train; start more of them");
  }
  spec.world_size = tasks - servers;
  spec.parameter_servers = servers;
  if (spec.rank < spec.world_size) return;
  spec.rank -= spec.world_size;
  spec.task_type = TaskType::kParameterServer;
}

void overlay_servers(const ClusterFlags& flags, const Variables& variables, Claim& claim) {
  ClusterSpec& spec = claim.spec;
  const bool alike = spec.source != "flags" && spec.source != "TRIREME_*" &&
                     spec.source != "TF_CONFIG" && spec.source != "single process";
  const int wanted = flags.parameter_servers;
  if (wanted >= 0 && wanted != spec.parameter_servers) {
    if (spec.parameter_servers > 0) {
      throw invalid_argument("--parameter-servers ", wanted, ", but ", spec.source, " says ",
                             spec.parameter_servers);
    }
    if (spec.source == "single process") {
      throw invalid_argument("--parameter-servers ", wanted,
                             ", but this is the only task: start it with trireme launch --ps ",
                             wanted, ", mpirun or srun");
    }
    if (alike) {
      split_off_servers(wanted, claim);
    } else {
      spec.parameter_servers = wanted;
    }
  }
  const std::string name = "TRIREME_PS_REPLICAS";
  const bool flag = flags.ps_replicas >= 0;
  spec.ps_replicas =
      flag ? flags.ps_replicas : static_cast<int>(variables.number(name, 1, 2).value_or(1));
  if (spec.parameter_servers == 0 && !flag) spec.ps_replicas = 1;
  if (spec.ps_replicas >= 1 && spec.ps_replicas <= std::max(1, std::min(2, spec.parameter_servers)))
    return;
  throw invalid_argument(
      flag ? str_cat("--ps-replicas ", flags.ps_replicas) : variables.quote(name),
      ": expected 1, or 2 with at least two parameter servers, found ", spec.parameter_servers);
}

// What may be said about any source's cluster: flags before TRIREME_*.
void overlay(const ClusterFlags& flags, const Variables& variables, Claim& claim) {
  ClusterSpec& spec = claim.spec;
  if (spec.task_type == TaskType::kEvaluator) {
    spec.coordinator.clear();
    return;
  }
  overlay_servers(flags, variables, claim);
  const bool flag = !flags.coordinator.empty();
  const bool variable = variables.has("TRIREME_COORDINATOR");
  const std::string where = flag ? "--coordinator" : "TRIREME_COORDINATOR";
  if (flag || variable) {
    spec.coordinator = flag ? flags.coordinator : variables.text("TRIREME_COORDINATOR");
    if (spec.coordinator != "mpi") parse_host_port(spec.coordinator, where);
    if (claim.rank_text.empty()) {
      throw invalid_argument(where, " ", spec.coordinator,
                             " names a cluster, but nothing says which task this is; give --rank "
                             "and --world-size, or start the tasks with a launcher");
    }
  } else if (claim.tasks() == 1) {
    spec.coordinator.clear();  // nobody else would come
  } else if (spec.coordinator.empty()) {
    throw invalid_argument(claim.size_text,
                           ", but nothing says where they meet; give --coordinator ",
                           "HOST:PORT or set TRIREME_COORDINATOR");
  }
  // Who meets on loopback is on this host; the tasks are to share its cores.
  if (spec.local_size < 0 && !spec.coordinator.empty() && spec.coordinator != "mpi" &&
      is_loopback(parse_host_port(spec.coordinator, "the coordinator's address").host)) {
    spec.local_size = claim.tasks();
    if (spec.local_rank < 0) {
      spec.local_rank = spec.rank + (spec.task_type == TaskType::kWorker ? 0 : spec.world_size);
    }
  }
  spec.hosts_coordinator = !spec.is_single_process() && spec.rank == 0 &&
                           spec.task_type == TaskType::kWorker &&
                           variables.number("TRIREME_HOSTS_COORDINATOR", 0, 1).value_or(1) == 1;
}

// Finds the address by which peers reach this task, and says how.
class Placement {
 public:
  Placement(const Claim& claim, const Machine& machine) : claim_(claim), machine_(machine) {}

  // Sets spec.listen; spec.coordinator and spec.coordinator_listen too, where the coordinator's
  // name means another address on this host than elsewhere.
  std::string choose(ClusterSpec& spec, bool in_slurm) {
    spec.listen = "127.0.0.1";
    if (spec.is_single_process()) return "127.0.0.1, because there are no peers";
    if (spec.coordinator == "mpi") return choose_by_landmarks(spec);
    HostPort meeting = parse_host_port(spec.coordinator, "the coordinator's address");
    if (is_loopback(meeting.host)) {
      if (meeting.host != "localhost") spec.listen = meeting.host;
      return str_cat(spec.listen, ", because the coordinator is on loopback");
    }
    if (in_slurm && machine_.address_of(meeting.host).empty()) {
      const std::string address = machine_.slurm_node_address(meeting.host);
      if (!address.empty()) {
        meeting.host = address;
        spec.coordinator = to_string(meeting);
      }
    }
    const std::string& target = claim_.own_name.empty() ? meeting.host : claim_.own_name;
    const std::string own = own_address(target);
    if (own.empty()) {
      return use_interface(spec, str_cat("the name ", target, " does not resolve to an address ",
                                         claim_.own_name.empty() ? "" : "of this host"));
    }
    if (is_loopback(own) && may_span_hosts()) {
      // Many systems list their own name as 127.0.1.1, which is of no use to others. Peers on this
      // host dial that address, and those on others another one: the coordinator binds them all.
      const std::string reason =
          use_interface(spec, str_cat("the name ", target, " is loopback on this host"));
      if (own_address(meeting.host) == own) {
        spec.coordinator_listen = "0.0.0.0";
        if (!is_loopback(spec.listen)) spec.coordinator = to_string({spec.listen, meeting.port});
      }
      return reason;
    }
    if (is_loopback(own)) spec.coordinator_listen = machine_.address_of(meeting.host);
    spec.listen = own;
    return str_cat(own, ", from which this host reaches ", target);
  }

 private:
  // Unless the source says that all tasks are on this host.
  bool may_span_hosts() const { return claim_.spec.local_size != claim_.tasks(); }

  // On the way to `target`; for an own name, only if that is this host's.
  std::string own_address(const std::string& target) const {
    const std::string route = machine_.route_to(target);
    if (claim_.own_name != target || is_loopback(route)) return route;
    return route == machine_.address_of(target) ? route : "";
  }

  std::string use_interface(ClusterSpec& spec, const std::string& why) const {
    const std::string address = machine_.interface_address();
    if (!address.empty()) spec.listen = address;
    return str_cat(spec.listen, ", an address of this host, because ", why);
  }

  std::string choose_by_landmarks(ClusterSpec& spec) const {
    if (claim_.spec.local_size == claim_.tasks()) {
      return "127.0.0.1, because all tasks are on this host";
    }
    for (const std::string& landmark : claim_.landmarks) {
      const std::string own = machine_.route_to(landmark);
      if (own.empty() || is_loopback(own)) continue;
      spec.listen = own;
      return str_cat(own, ", from which this host reaches its launcher at ", landmark);
    }
    return use_interface(spec, "the launcher does not say where it is");
  }

  const Claim& claim_;
  const Machine& machine_;
};

// FNV-1a with a final mix (the finaliser of MurmurHash3). It keeps jobs that meet by accident
// apart on loopback; it keeps nobody out who can guess what it is made of.
uint64_t hash(std::string_view text, uint64_t seed) {
  uint64_t value = 0xcbf29ce484222325u ^ seed;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  value = (value ^ (value >> 33)) * 0xff51afd7ed558ccdu;
  value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53u;
  return value ^ (value >> 33);
}

std::string derived_secret(const ClusterSpec& spec, const Machine& machine) {
  const std::string text = str_cat("trireme/", spec.job_id, "/", machine.user_id);
  char digits[33];
  std::snprintf(digits, sizeof digits, "%016llx%016llx",
                static_cast<unsigned long long>(hash(text, 0)),
                static_cast<unsigned long long>(hash(text, 0x9e3779b97f4a7c15u)));
  return digits;
}

// Says where it comes from. Empty: the task does not start without one, or hears it by MPI.
std::string choose_secret(const Variables& variables, const Machine& machine, ClusterSpec& spec) {
  spec.secret.clear();
  if (variables.has("TRIREME_SECRET")) {
    spec.secret = variables.text("TRIREME_SECRET");
    return "secret: set by TRIREME_SECRET";
  }
  if (spec.coordinator == "mpi") return "secret: drawn by rank 0, which tells it by MPI";
  const bool local = is_loopback(spec.listen) &&
                     (spec.coordinator_listen.empty() || is_loopback(spec.coordinator_listen));
  if (spec.is_single_process() || local) {
    spec.secret = derived_secret(spec, machine);
    return "secret: derived from the job id and the user id, since all is on loopback";
  }
  return "secret: none, so the task will not start: export "
         "TRIREME_SECRET=$(openssl rand -hex 32) for all tasks";
}

}  // namespace

ClusterSpec resolve(const ClusterFlags& flags, const Environment& environment,
                    const Machine& machine) {
  const Variables variables(environment);
  std::vector<std::string> reasons;
  Claim claim = choose(flags, variables, machine, reasons);
  overlay(flags, variables, claim);

  ClusterSpec& spec = claim.spec;
  spec.host =
      variables.has("SLURMD_NODENAME") ? variables.text("SLURMD_NODENAME") : machine.host_name;
  if (variables.has("TRIREME_JOB_ID")) {
    spec.job_id = variables.text("TRIREME_JOB_ID");
  } else if (spec.job_id.empty()) {
    spec.job_id =
        spec.is_single_process() ? str_cat("process-", machine.process_id) : spec.coordinator;
  }
  spec.tls = resolve_tls(flags.tls, environment, flags.job_tls);
  const bool flag = !flags.listen.empty();
  if (flag || variables.has("TRIREME_LISTEN")) {
    const std::string where = flag ? "--listen" : "TRIREME_LISTEN";
    spec.listen = parse_host(flag ? flags.listen : variables.text("TRIREME_LISTEN"), where);
    if (is_wildcard(spec.listen)) {
      throw invalid_argument(where, " ", spec.listen, ": peers cannot connect to it; give the ",
                             "address by which they reach this host");
    }
    reasons.push_back(str_cat("listen: ", spec.listen, ", from ", where));
  } else {
    const bool in_slurm = variables.has("SLURM_JOB_ID");
    ClusterSpec placed = spec;
    reasons.push_back(str_cat("listen: ", Placement(claim, machine).choose(placed, in_slurm)));
    spec = placed;
  }
  reasons.push_back(choose_secret(variables, machine, spec));
  spec.reasons = std::move(reasons);
  return spec;
}

}  // namespace trireme::cluster

namespace trireme {

ClusterSpec resolve_cluster(const ClusterFlags& flags, const Environment& environment) {
  ClusterSpec spec = cluster::resolve(flags, environment, cluster::this_machine());
  check_server_count(spec.parameter_servers);
  return spec;
}

}  // namespace trireme
