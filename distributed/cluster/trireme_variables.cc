// Flags and the TRIREME_* variables: what a user or our own launcher says.
#include <algorithm>

#include "core/base/error.h"
#include "distributed/cluster/sources.h"

namespace trireme {

Environment to_environment(const ClusterSpec& spec) {
  Environment variables = {
      {"TRIREME_RANK", std::to_string(spec.rank)},
      {"TRIREME_WORLD_SIZE", std::to_string(spec.world_size)},
      {"TRIREME_COORDINATOR", spec.coordinator},
      {"TRIREME_HOSTS_COORDINATOR", spec.hosts_coordinator ? "1" : "0"},
      {"TRIREME_LISTEN", spec.listen},
      {"TRIREME_TASK_TYPE", name(spec.task_type)},
      {"TRIREME_PARAMETER_SERVERS", std::to_string(spec.parameter_servers)},
      {"TRIREME_PS_REPLICAS", std::to_string(spec.ps_replicas)},
      {"TRIREME_JOB_ID", spec.job_id},
      {"TRIREME_SECRET", spec.secret},
  };
  for (const auto& [name, value] : to_environment(spec.tls)) variables[name] = value;
  if (spec.local_rank >= 0) variables["TRIREME_LOCAL_RANK"] = std::to_string(spec.local_rank);
  if (spec.local_size >= 0) variables["TRIREME_LOCAL_SIZE"] = std::to_string(spec.local_size);
  return variables;
}

Environment to_environment(const TlsSettings& tls) {
  Environment variables;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) variables[name] = value;
  };
  add("TRIREME_TLS", tls.mode);
  add("TRIREME_TLS_CA", tls.files.ca);
  add("TRIREME_TLS_CERT", tls.files.certificate);
  add("TRIREME_TLS_KEY", tls.files.key);
  add("TRIREME_TLS_NAME", tls.files.name);
  return variables;
}

TlsSettings resolve_tls(const TlsSettings& flags, const Environment& environment,
                        const TlsSettings& job) {
  const cluster::Variables variables(environment);
  const TlsSettings said{.mode = variables.text("TRIREME_TLS"),
                         .files = {.ca = variables.text("TRIREME_TLS_CA"),
                                   .certificate = variables.text("TRIREME_TLS_CERT"),
                                   .key = variables.text("TRIREME_TLS_KEY"),
                                   .name = variables.text("TRIREME_TLS_NAME")}};
  const auto check = [](const std::string& where, const std::string& mode) {
    if (mode.empty() || mode == "auto" || mode == "on" || mode == "off") return;
    throw invalid_argument(where, mode, ": expected auto, on or off");
  };
  check("--tls ", flags.mode);
  check("TRIREME_TLS=", said.mode);
  check("distributed.tls.mode: ", job.mode);
  return merge(flags, merge(said, job));
}

std::string name(TaskType type) {
  switch (type) {
    case TaskType::kWorker:
      return "worker";
    case TaskType::kParameterServer:
      return "ps";
    case TaskType::kEvaluator:
      return "evaluator";
  }
  return "";
}

namespace cluster {

Reading read_flags(const ClusterFlags& flags, const Variables& variables) {
  if (flags.rank < 0 && flags.world_size < 0) return {std::nullopt, "not given"};
  if (flags.rank < 0 && variables.has(kCompletionIndex)) {
    return {std::nullopt, str_cat("--world-size ", flags.world_size, " is how many pods ",
                                  kCompletionIndex, " counts")};
  }
  const int count = flags.is_server ? flags.parameter_servers : flags.world_size;
  const std::string name = flags.is_server ? "--parameter-servers" : "--world-size";
  const std::string rank = flags.is_server ? "--index" : "--rank";
  if (count < 0) {
    throw invalid_argument(rank, " ", flags.rank, " needs ", name, ": how many tasks there are");
  }
  if (count < 1 || count > kMaxTasks) {
    throw invalid_argument(name, " ", count, ": expected a number from 1 to ", kMaxTasks);
  }
  if (flags.rank < 0 && count > 1) {
    throw invalid_argument(name, " ", count, " needs ", rank, ": which of these tasks this one is");
  }
  Claim claim;
  claim.spec.source = "flags";
  claim.spec.rank = std::max(flags.rank, 0);
  // How many workers there are is nothing to a server.
  claim.spec.world_size = std::max(flags.world_size, 1);
  claim.spec.local_rank = claim.spec.local_size = -1;
  if (flags.is_server) {
    claim.spec.task_type = TaskType::kParameterServer;
    claim.spec.parameter_servers = count;
  }
  claim.rank_text = str_cat(rank, " ", claim.spec.rank);
  claim.size_text = str_cat(name, " ", count);
  return {claim, ""};
}

Reading read_trireme(const Variables& variables) {
  const std::string rank = "TRIREME_RANK", size = "TRIREME_WORLD_SIZE";
  if (!variables.has(rank) && !variables.has(size)) return {};
  if (!variables.has(rank) && variables.has(kCompletionIndex)) {
    return {std::nullopt,
            str_cat(variables.quote(size), " is how many pods ", kCompletionIndex, " counts")};
  }
  for (const std::string& name : {rank, size}) {
    if (variables.has(name)) continue;
    throw invalid_argument(name, " is not set, but ", variables.quote(name == rank ? size : rank),
                           " is: set both");
  }
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "TRIREME_*";
  spec.rank = *variables.index(rank);
  spec.world_size = *variables.count(size);
  spec.local_rank = variables.index("TRIREME_LOCAL_RANK").value_or(-1);
  spec.local_size = variables.count("TRIREME_LOCAL_SIZE").value_or(-1);
  spec.parameter_servers = variables.index("TRIREME_PARAMETER_SERVERS").value_or(0);
  const std::string& type = variables.text("TRIREME_TASK_TYPE");
  for (const TaskType known :
       {TaskType::kWorker, TaskType::kParameterServer, TaskType::kEvaluator}) {
    if (type == name(known)) spec.task_type = known;
  }
  if (!type.empty() && type != name(spec.task_type)) {
    throw invalid_argument("TRIREME_TASK_TYPE=", type, ": expected worker, ps or evaluator");
  }
  claim.rank_text = variables.quote(rank);
  claim.size_text = variables.quote(size);
  return {claim, ""};
}

}  // namespace cluster
}  // namespace trireme
