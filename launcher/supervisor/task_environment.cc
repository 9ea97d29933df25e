#include "launcher/supervisor/task_environment.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/error.h"

namespace trireme {
namespace {

using namespace std::string_view_literals;

constexpr std::array kPrefixes = {"OMPI_"sv,  "PMI_"sv,   "PMIX_"sv,        "PRTE_"sv,
                                  "SLURM_"sv, "HYDRA_"sv, "TORCHELASTIC_"sv};
constexpr std::array kNames = {"RANK"sv,
                               "WORLD_SIZE"sv,
                               "LOCAL_RANK"sv,
                               "LOCAL_WORLD_SIZE"sv,
                               "GROUP_RANK"sv,
                               "GROUP_WORLD_SIZE"sv,
                               "ROLE_RANK"sv,
                               "ROLE_WORLD_SIZE"sv,
                               "ROLE_NAME"sv,
                               "MASTER_ADDR"sv,
                               "MASTER_PORT"sv,
                               "TF_CONFIG"sv,
                               "MPI_LOCALRANKID"sv,
                               "MPI_LOCALNRANKS"sv,
                               "TRIREME_RANK"sv,
                               "TRIREME_WORLD_SIZE"sv,
                               "TRIREME_LOCAL_RANK"sv,
                               "TRIREME_LOCAL_SIZE"sv,
                               "TRIREME_COORDINATOR"sv,
                               "TRIREME_HOSTS_COORDINATOR"sv,
                               "TRIREME_LISTEN"sv,
                               "TRIREME_TASK_TYPE"sv,
                               "TRIREME_PARAMETER_SERVERS"sv,
                               "TRIREME_PS_REPLICAS"sv,
                               "TRIREME_JOB_ID"sv,
                               "TRIREME_RUN_ID"sv,
                               "TRIREME_STARTED_BY"sv,
                               "TRIREME_SECRET"sv,
                               "TRIREME_TLS"sv,
                               "TRIREME_TLS_CA"sv,
                               "TRIREME_TLS_CERT"sv,
                               "TRIREME_TLS_KEY"sv,
                               "TRIREME_TLS_NAME"sv,
                               "TRIREME_INCARNATION"sv};

}  // namespace

Environment without_cluster(const Environment& environment) {
  Environment result;
  for (const auto& [name, value] : environment) {
    const bool foreign =
        std::ranges::find(kNames, name) != kNames.end() ||
        std::ranges::any_of(kPrefixes, [&](auto prefix) { return name.starts_with(prefix); });
    if (!foreign) result.emplace(name, value);
  }
  return result;
}

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(static_cast<size_t>(core), &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

std::vector<int> share_of_cores(const std::vector<int>& cores, int index, int count) {
  TRIREME_CHECK(0 <= index && index < count);
  const auto all = static_cast<int64_t>(cores.size());
  if (all < count) return {};
  return {cores.begin() + all * index / count, cores.begin() + all * (index + 1) / count};
}

}  // namespace trireme
