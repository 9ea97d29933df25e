#include <iomanip>

#include "core/base/error.h"
#include "distributed/cluster/cluster_spec.h"

namespace trireme {
namespace {

std::string known(int value) { return value < 0 ? "unknown" : std::to_string(value); }

std::string tls_text(const TlsSettings& tls) {
  if (tls.mode == "off") return "off: everything goes in the clear";
  return str_cat(tls.mode == "on" ? "on: all connections" : "between hosts", ", with ",
                 tls.files.any() ? "the certificate " + tls.files.certificate
                                 : "certificates that are made from the secret");
}

}  // namespace

std::string describe(const ClusterSpec& spec) {
  std::ostringstream out;
  const auto line = [&](const char* key, const auto&... parts) {
    out << std::left << std::setw(20) << key << str_cat(parts...) << "\n";
  };
  const bool worker = spec.task_type == TaskType::kWorker;
  line("source", spec.source);
  if (spec.task_type == TaskType::kEvaluator) {
    line("task", "evaluator ", spec.rank, ", which evaluates each new checkpoint");
  } else {
    line("task", worker ? "worker " : "parameter server ", spec.rank, " of ",
         worker ? spec.world_size : spec.parameter_servers);
  }
  line("workers", spec.world_size);
  line("parameter servers", spec.parameter_servers,
       spec.ps_replicas > 1 ? str_cat(", each row on ", spec.ps_replicas) : "");
  line("on this host", "rank ", known(spec.local_rank), ", tasks ", known(spec.local_size));
  if (spec.is_single_process()) {
    line("coordinator", "none: a single process");
  } else if (spec.coordinator == "mpi") {
    line("coordinator", "in rank 0, which tells its address by MPI");
  } else {
    line("coordinator", spec.coordinator, spec.hosts_coordinator ? ", in this task" : "");
  }
  line("listen", spec.listen);
  line("host", spec.host);
  line("job id", spec.job_id);
  line("tls", tls_text(spec.tls));
  out << "why\n";
  for (const std::string& reason : spec.reasons) out << "  " << reason << "\n";
  return out.str();
}

}  // namespace trireme
