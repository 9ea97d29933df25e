// Slurm: a task that srun started.
//
// The variables of a batch script's shell, and of salloc's, look the same but for the step's: they
// tell what the job may start, not what was started, and are no source.
#include <numeric>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/node_list.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

// Step ids from here on are Slurm's own (interactive, batch script, extern): shells, not tasks.
constexpr int64_t kFirstSpecialStep = 0xfffffff0;

// Below the range from which Linux takes ports for outgoing connections (32768 …), different for
// jobs and steps that follow each other.
int meeting_port(int64_t job, int64_t step) {
  return 20000 + static_cast<int>((job * 101 + step) % 10000);
}

std::string why_not_a_task(const Variables& variables) {
  if (!variables.has("SLURM_JOB_ID")) return "not set";
  const std::string tasks = variables.first_of({"SLURM_NTASKS", "SLURM_NPROCS"});
  return str_cat("not used: this is a shell of job ", variables.text("SLURM_JOB_ID"),
                 ", not a task that srun started (no step in its environment)",
                 variables.has(tasks)
                     ? str_cat("; ", variables.quote(tasks), " is what the job may start: use srun")
                     : "");
}

}  // namespace

Reading read_slurm(const Variables& variables) {
  const std::string step_name = variables.first_of({"SLURM_STEP_ID", "SLURM_STEPID"});
  const auto step = variables.number(step_name, 0, 0xffffffff);
  if ((!step && !variables.has("SLURM_STEP_NUM_TASKS")) || step.value_or(0) >= kFirstSpecialStep) {
    return {std::nullopt, why_not_a_task(variables)};
  }
  const std::string size =
      variables.first_of({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"});
  const std::string job = variables.first_of({"SLURM_JOB_ID", "SLURM_JOBID"});
  for (const std::string& name : {std::string("SLURM_PROCID"), size, job}) {
    if (variables.has(name)) continue;
    throw invalid_argument(name, " is not set, but other variables of an srun step are (",
                           variables.quote(variables.first_of({step_name, size})),
                           "): start the task with srun, or unset them");
  }
  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "Slurm";
  spec.rank = *variables.index("SLURM_PROCID");
  spec.world_size = *variables.count(size);
  spec.local_rank = variables.index("SLURM_LOCALID").value_or(-1);
  spec.local_size = -1;
  claim.rank_text = variables.quote("SLURM_PROCID");
  claim.size_text = variables.quote(size);
  const int64_t job_number = *variables.number(job, 0, INT64_C(1) << 40);
  spec.job_id = str_cat(job_number, ".", step.value_or(0));

  const auto node = variables.index("SLURM_NODEID");
  const std::string counts_name =
      variables.first_of({"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"});
  if (variables.has(counts_name)) {
    const std::vector<int> counts = parse_task_counts(variables.text(counts_name), counts_name);
    const int64_t sum = std::accumulate(counts.begin(), counts.end(), INT64_C(0));
    if (sum != spec.world_size) {
      throw invalid_argument(variables.quote(counts_name), " is ", sum, " tasks, but ",
                             claim.size_text);
    }
    claim.one_task_per_host = counts.size() == static_cast<size_t>(sum);
    if (node && static_cast<size_t>(*node) < counts.size()) {
      spec.local_size = counts[static_cast<size_t>(*node)];
    }
  }
  if (spec.world_size == 1) return {claim, ""};

  const std::string nodes_name =
      variables.first_of({"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"});
  if (!variables.has(nodes_name)) {
    throw invalid_argument(nodes_name, " is not set, but ", claim.size_text,
                           ": start the tasks with srun");
  }
  const std::vector<std::string> nodes = parse_node_list(variables.text(nodes_name), nodes_name);
  const int port = meeting_port(job_number, step.value_or(0));
  // The tasks of one node need no network.
  spec.coordinator = to_string({nodes.size() == 1 ? "127.0.0.1" : nodes[0], port});
  if (nodes.size() == 1 && spec.local_size < 0) spec.local_size = spec.world_size;
  return {claim, ""};
}

}  // namespace trireme::cluster
