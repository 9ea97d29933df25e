// A pod of a Volcano job with its `svc` plugin (and `env`, which adds the index): VC_<TASK>_HOSTS
// lists the host names of each task's pods, VC_TASK_INDEX is the pod's place in its own list
// (https://volcano.sh/en/docs/plugins/).
#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

struct PodList {
  std::string variable;
  std::string task;  // as the variable spells it: "WORKER"
  std::vector<std::string> hosts;
};

constexpr std::array<std::string_view, 3> kFirst = {"CHIEF", "MASTER", "COORDINATOR"};

bool is_server(const PodList& list) {
  return list.task == "PS" || list.task == "PARAMETER_SERVER" || list.task == "SERVER";
}

std::string first_label(std::string_view host) {
  return std::string(host.substr(0, host.find('.')));
}

std::vector<PodList> pod_lists(const Variables& variables) {
  constexpr std::string_view kPrefix = "VC_", kSuffix = "_HOSTS";
  std::vector<PodList> lists;
  for (const std::string& name : variables.names()) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix) || !variables.has(name)) continue;
    if (name.size() <= kPrefix.size() + kSuffix.size()) continue;
    PodList list{
        name, name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()), {}};
    std::istringstream hosts(variables.text(name));
    for (std::string host; std::getline(hosts, host, ',');) {
      list.hosts.push_back(parse_host(host, name));
    }
    lists.push_back(std::move(list));
  }
  return lists;
}

}  // namespace

Reading read_volcano(const Variables& variables, const std::string& host_name) {
  std::vector<PodList> lists = pod_lists(variables);
  if (lists.empty()) return {};
  std::ranges::stable_sort(lists, {}, [](const PodList& list) {
    return std::ranges::find(kFirst, list.task) == kFirst.end();
  });
  Claim claim;
  ClusterSpec& spec = claim.spec;
  claim.is_pod = true;
  spec.source = "Volcano";
  spec.local_rank = 0;
  spec.local_size = 1;
  spec.world_size = 0;
  const std::string index_name = variables.first_of({"VC_TASK_INDEX", "VK_TASK_INDEX"});
  const auto index = variables.index(index_name);
  bool found = false;
  std::string kinds;
  for (const PodList& list : lists) {
    const bool server = is_server(list), evaluator = list.task == "EVALUATOR";
    if (!server && !evaluator && spec.world_size == 0) {
      spec.coordinator = to_string({list.hosts.at(0), kPodPort});
    }
    for (size_t i = 0; i < list.hosts.size(); ++i) {
      if (found || first_label(list.hosts[i]) != first_label(host_name)) continue;
      if (index && *index != static_cast<int>(i)) {
        throw invalid_argument(variables.quote(index_name), ", but this host, ", host_name,
                               ", is number ", i, " of ", variables.quote(list.variable));
      }
      found = true;
      claim.own_name = list.hosts[i];
      claim.rank_text = str_cat("number ", i, " of ", list.variable);
      spec.task_type = server      ? TaskType::kParameterServer
                       : evaluator ? TaskType::kEvaluator
                                   : TaskType::kWorker;
      spec.rank = static_cast<int>(i) + (server      ? spec.parameter_servers
                                         : evaluator ? 0
                                                     : spec.world_size);
    }
    if (!evaluator) {
      (server ? spec.parameter_servers : spec.world_size) += static_cast<int>(list.hosts.size());
    }
    kinds += (kinds.empty() ? "" : ", ") + list.variable;
  }
  if (!found) {
    throw invalid_argument("this host, ", host_name,
                           ", is in none of the lists of a Volcano job: ", kinds);
  }
  if (spec.world_size == 0) throw invalid_argument("a Volcano job without workers: ", kinds);
  claim.size_text = str_cat(spec.world_size, " workers in ", kinds);
  return {claim, ""};
}

}  // namespace trireme::cluster
