// TF_CONFIG, as TensorFlow's TFConfigClusterResolver reads it:
//   {"cluster": {"chief": ["n0:2222"], "worker": ["n1:2222", …], "ps": […]},
//    "task": {"type": "worker", "index": 0}}
// The chief is worker 0; the workers follow it. An evaluator need not be in the cluster, as for
// TensorFlow; other names are refused, since their tasks would be waited for by nobody.
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

namespace trireme::cluster {
namespace {

using Json = nlohmann::json;

struct Task {
  std::string name;  // "worker 1", as TF_CONFIG calls it
  HostPort address;
};

constexpr size_t kMaxBytes = 4 << 20;

Json parse(const std::string& text) {
  if (text.size() > kMaxBytes) {
    throw invalid_argument("TF_CONFIG: expected at most ", kMaxBytes, " bytes, found ",
                           text.size());
  }
  try {
    Json json = Json::parse(text);
    if (!json.is_object()) {
      throw invalid_argument("TF_CONFIG: expected a JSON object, found a JSON ", json.type_name());
    }
    return json;
  } catch (const Json::parse_error& error) {
    throw invalid_argument("TF_CONFIG: not JSON at byte ", error.byte, " of ", text.size(), ": ",
                           error.what());
  }
}

// A member that must be an object; null when it is not there.
const Json* member(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return nullptr;
  if (!found->is_object()) {
    throw invalid_argument("TF_CONFIG: expected \"", name, "\" to be an object, found a JSON ",
                           found->type_name());
  }
  return &*found;
}

std::vector<Task> tasks_of(const Json& cluster, const std::string& type) {
  const auto found = cluster.find(type);
  if (found == cluster.end()) return {};
  if (!found->is_array() || found->size() > kMaxTasks) {
    throw invalid_argument("TF_CONFIG: expected cluster.", type,
                           " to be a list of host:port, found a JSON ", found->type_name());
  }
  std::vector<Task> tasks;
  for (const Json& address : *found) {
    const std::string name = str_cat(type, " ", tasks.size());
    if (!address.is_string()) {
      throw invalid_argument("TF_CONFIG: expected the address of ", name,
                             " to be a string, found a JSON ", address.type_name());
    }
    tasks.push_back({name, parse_host_port(address.get<std::string>(),
                                           str_cat("TF_CONFIG: the address of ", name))});
  }
  return tasks;
}

void check_names(const Json& cluster) {
  for (const auto& [name, tasks] : cluster.items()) {
    if (name == "chief" || name == "worker" || name == "ps" || name == "evaluator") continue;
    throw invalid_argument("TF_CONFIG: cluster.", name, ": expected chief, worker, ps or evaluator",
                           name == "master" ? "; call a master chief" : "");
  }
}

// The name by which two entries are compared.
std::string same_host(const std::string& host) { return is_loopback(host) ? "localhost" : host; }

void check_distinct(const std::vector<Task>& tasks) {
  std::map<std::string, const Task*> seen;
  for (const Task& task : tasks) {
    const std::string key = to_string({same_host(task.address.host), task.address.port});
    const auto [first, fresh] = seen.emplace(key, &task);
    if (!fresh) {
      throw invalid_argument("TF_CONFIG: ", first->second->name, " and ", task.name,
                             " have one address, ", to_string(task.address),
                             ": give each task its own port");
    }
  }
}

int task_index(const Json& task) {
  const auto found = task.find("index");
  if (found == task.end()) return 0;  // as TensorFlow does
  if (!found->is_number_integer()) {
    throw invalid_argument("TF_CONFIG: expected task.index to be a whole number, found a JSON ",
                           found->type_name());
  }
  // Unsigned numbers past the signed range come out negative, and are refused as such.
  const auto index = found->get<int64_t>();
  if (index < 0 || index >= kMaxTasks) {
    throw invalid_argument("TF_CONFIG: task.index ", index, " is outside 0 … ", kMaxTasks - 1);
  }
  return static_cast<int>(index);
}

Reading evaluator(int index, int workers) {
  Claim claim;
  claim.spec.source = "TF_CONFIG";
  claim.spec.task_type = TaskType::kEvaluator;
  claim.spec.rank = index;
  claim.spec.world_size = workers;
  claim.rank_text = str_cat("task evaluator ", index, " of TF_CONFIG");
  claim.size_text = str_cat(workers, " workers in TF_CONFIG");
  return {claim, ""};
}

}  // namespace

Reading read_tf_config(const Variables& variables) {
  if (!variables.has("TF_CONFIG")) return {};
  const Json json = parse(variables.text("TF_CONFIG"));
  const Json* cluster = member(json, "cluster");
  if (cluster == nullptr || cluster->empty()) return {std::nullopt, "not used: it has no cluster"};
  const Json* task = member(json, "task");
  if (task == nullptr) {
    throw invalid_argument(
        "TF_CONFIG: \"cluster\" is there, but not \"task\": which task is this?");
  }
  check_names(*cluster);
  std::vector<Task> tasks = tasks_of(*cluster, "chief");
  const size_t chiefs = tasks.size();
  for (const Task& worker : tasks_of(*cluster, "worker")) tasks.push_back(worker);
  const size_t workers = tasks.size();
  for (const Task& server : tasks_of(*cluster, "ps")) tasks.push_back(server);
  if (chiefs > 1) throw invalid_argument("TF_CONFIG: expected at most one chief, found ", chiefs);
  if (workers == 0) throw invalid_argument("TF_CONFIG: the cluster has neither chief nor worker");
  if (tasks.size() > kMaxTasks) {
    throw invalid_argument("TF_CONFIG: more than ", kMaxTasks, " tasks");
  }
  check_distinct(tasks);

  const std::string type = task->contains("type") && (*task)["type"].is_string()
                               ? (*task)["type"].get<std::string>()
                               : "";
  const int index = task_index(*task);
  if (type == "evaluator") return evaluator(index, static_cast<int>(workers));
  size_t first = 0, end = chiefs;
  if (type == "worker") {
    first = chiefs, end = workers;
  } else if (type == "ps") {
    first = workers, end = tasks.size();
  } else if (type != "chief") {
    throw invalid_argument("TF_CONFIG: expected task.type chief, worker, ps or evaluator, found '",
                           type, "'");
  }
  if (static_cast<size_t>(index) >= end - first) {
    throw invalid_argument("TF_CONFIG: task ", type, " ", index,
                           " is not in the cluster, which has ", end - first, " of type ", type);
  }
  const size_t own = first + static_cast<size_t>(index);

  Claim claim;
  ClusterSpec& spec = claim.spec;
  spec.source = "TF_CONFIG";
  spec.task_type = type == "ps" ? TaskType::kParameterServer : TaskType::kWorker;
  spec.rank = static_cast<int>(type == "ps" ? own - workers : own);
  spec.world_size = static_cast<int>(workers);
  spec.parameter_servers = static_cast<int>(tasks.size() - workers);
  spec.local_size = 0;
  claim.own_name = tasks[own].address.host;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (same_host(tasks[i].address.host) != same_host(claim.own_name)) continue;
    if (i == own) spec.local_rank = spec.local_size;
    ++spec.local_size;
  }
  spec.coordinator = to_string(tasks[0].address);
  claim.rank_text = str_cat("task ", type, " ", index, " of TF_CONFIG");
  claim.size_text = str_cat(workers, " workers in TF_CONFIG");
  return {claim, ""};
}

}  // namespace trireme::cluster
