#include "launcher/launch_job.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/security.h"
#include "distributed/cluster/server_limit.h"
#include "distributed/connection/draw_id.h"
#include "distributed/connection/secret.h"
#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/launcher_link.h"
#include "distributed/coordination/rpc_channel.h"
#include "launcher/job_address.h"
#include "launcher/metrics_targets.h"
#include "launcher/snapshot_folder.h"
#include "launcher/standard_output.h"
#include "launcher/supervisor/supervisor.h"
#include "launcher/supervisor/task_environment.h"
#include "launcher/supervisor/task_log.h"
#include "launcher/tls_options.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"
#include "worker/run_folder.h"
#include "worker/run_id.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr double kServersShareOfMemory = 0.8;
constexpr double kJoinTimeout = 120, kStallWarning = 10, kCollectiveTimeout = 60;

milliseconds to_ms(double seconds) { return milliseconds(static_cast<int64_t>(seconds * 1000)); }

// What every task of the job has in common.
struct Job {
  std::string id, secret;
  std::string run;          // the id of this launch; empty: the launcher of node 0 knows it
  std::string coordinator;  // empty: a single process needs none
  std::string listen;       // for the tasks' data servers
  TlsSettings tls;
};

// Several launchers must be told one secret; one launcher makes its own.
std::string job_secret(const LaunchOptions& options, const Environment& environment) {
  if (!options.secret_file.empty()) return read_secret_file(options.secret_file, "--secret-file");
  const auto inherited = environment.find("TRIREME_SECRET");
  if (options.nodes == 1) return draw_secret();
  if (inherited != environment.end() && !inherited->second.empty()) {
    check_secret(inherited->second, "TRIREME_SECRET");
    return inherited->second;
  }
  throw invalid_argument(
      "--nodes ", options.nodes,
      " needs a secret that all nodes share: give each launcher the same --secret-file, or the "
      "same TRIREME_SECRET; `openssl rand -hex 32` makes one");
}

// The same on all nodes without being told; else it only keeps jobs of one host apart.
std::string job_id(const LaunchOptions& options, const Environment& environment) {
  if (options.nodes == 1) return "job-" + draw_id().substr(0, 8);
  const auto given = environment.find("TRIREME_JOB_ID");
  if (given != environment.end() && !given->second.empty()) return given->second;
  std::string id = "job-" + options.coordinator;
  std::ranges::replace_if(
      id, [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-'; }, '-');
  return id;
}

// Where peers on other nodes reach this one.
std::string listen_address(const LaunchOptions& options) {
  if (!options.listen.empty()) return options.listen;
  if (options.coordinator.empty()) return "127.0.0.1";
  const std::string host = cluster::parse_host_port(options.coordinator, "--coordinator").host;
  if (cluster::is_loopback(host)) return "127.0.0.1";
  std::string address = cluster::local_address_towards(host);
  // Many hosts resolve their own name to loopback, where no other host reaches them.
  if (cluster::is_loopback(address)) address = cluster::first_interface_address();
  if (address.empty()) {
    throw invalid_argument("--coordinator ", options.coordinator,
                           ": this machine has no route to it, so no address for its peers; is the "
                           "name right? Give this node's own address with --listen");
  }
  return address;
}

// Of the launcher's own connections.
std::shared_ptr<const Encryption> encryption_of(const Job& job) {
  ClusterSpec spec;
  spec.coordinator = job.coordinator;
  spec.listen = job.listen;
  spec.secret = job.secret;
  spec.tls = job.tls;
  return make_security(spec).encryption;
}

CoordinatorOptions coordinator_options(const LaunchOptions& options, const Job& job) {
  CoordinatorOptions result;
  result.port = options.port;
  if (!options.coordinator.empty()) {
    const auto at = cluster::parse_host_port(options.coordinator, "--coordinator");
    result.port = at.port;
    const std::string address = cluster::numeric_address(at.host);
    // A name that is loopback here only is bound on all interfaces, for the other nodes.
    if (!address.empty() && (cluster::is_loopback(at.host) || !cluster::is_loopback(address)))
      result.listen = address;
    else
      result.listen = "0.0.0.0";
  }
  result.secret = job.secret;
  result.encryption = encryption_of(job);
  result.job_id = job.id;
  result.run = job.run;
  result.world_size = options.nodes * options.workers;
  result.min_workers = options.min_workers;
  result.join_timeout = to_ms(*options.join_timeout_s);
  result.stall_warning = to_ms(*options.stall_warning_s);
  result.collective_timeout = to_ms(*options.collective_timeout_s);
  result.log = [](const std::string& line) { Supervisor::report_to_standard_error(line); };
  return result;
}

// The values that `name` has among arguments for train: "--set a=b" and "--set=a=b".
std::vector<std::string> values_of(const std::vector<std::string>& arguments,
                                   const std::string& name) {
  std::vector<std::string> values;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == name && i + 1 < arguments.size()) values.push_back(arguments[++i]);
    if (arguments[i].starts_with(name + "="))
      values.push_back(arguments[i].substr(name.size() + 1));
  }
  return values;
}

// Reads the job as each task will, so that what is wrong with it is said once, before anything
// starts. Nothing: a program runs, which has none.
std::optional<JobFile> read_job(const LaunchOptions& options) {
  if (options.job.empty()) return std::nullopt;
  if (kind_of_file(options.job) == "a pipe") {
    throw invalid_argument(options.job,
                           ": expected a job file, found a pipe: each task reads it "
                           "again; write it to a file first");
  }
  std::vector<JobOption> folders;
  for (const std::string& folder : values_of(options.train_arguments, "--output-dir"))
    folders.push_back({"--output-dir", "output_dir", folder});
  return JobFile::read(options.job, values_of(options.train_arguments, "--set"), folders,
                       options.schema);
}

// Holds the folder for the job, also while a worker is started again. Nothing: nobody writes here.
std::unique_ptr<RunFolder> hold_folder(const LaunchOptions& options, const Job& job,
                                       const std::string& output_dir) {
  if (output_dir.empty() || options.node_rank != 0) return nullptr;
  const bool begins =
      std::ranges::none_of(options.train_arguments, [](const std::string& argument) {
        return argument.starts_with("--resume") || argument == "--overwrite";
      });
  if (begins) refuse_earlier_run(output_dir);
  auto folder = std::make_unique<RunFolder>(output_dir, job.id);
  folder->hold();
  return folder;
}

// The launcher of node 0 hosts the coordinator, which tells all tasks.
std::string run_of(const LaunchOptions& options, const std::string& output,
                   const Environment& environment) {
  const auto given = environment.find("TRIREME_RUN_ID");
  if (given != environment.end() && !given->second.empty()) return given->second;
  if (options.node_rank != 0) return "";
  if (output.empty()) return draw_id();
  const auto resume = values_of(options.train_arguments, "--resume");
  return launch_id(output, std::ranges::find(resume, "auto") != resume.end(), environment);
}

std::string log_directory(const LaunchOptions& options, const std::string& output, const Job& job) {
  std::string chosen = output.empty() ? str_cat("trireme-logs/", job.id) : output + "/logs";
  if (!options.log_directory.empty()) chosen = options.log_directory;
  std::error_code error;
  fs::create_directories(chosen, error);
  if (error)
    throw invalid_argument("cannot make the folder of logs ", chosen, ": ", error.message());
  return chosen;
}

int threads_of_task(const LaunchOptions& options, const Environment& environment, int tasks) {
  if (options.threads > 0) return options.threads;
  const auto given = environment.find("OMP_NUM_THREADS");
  if (given != environment.end() && std::atoi(given->second.c_str()) > 0)
    return std::atoi(given->second.c_str());
  return std::max(1, static_cast<int>(usable_cores().size()) / tasks);
}

double memory_gib() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<double>(sysconf(_SC_PAGE_SIZE)) / (1 << 30);
}

// Where servers go on that have no replica: nothing, where they do not.
std::unique_ptr<SnapshotFolder> make_snapshot_folder(const LaunchOptions& options, const Job& job,
                                                     const std::string& logs) {
  const bool needed = options.parameter_servers > 0 && options.ps_replicas == 1 &&
                      options.max_restarts > 0 && options.ps_snapshot_interval_s > 0;
  if (!needed) return nullptr;
  // Nodes may share the folder of logs.
  const std::string node = options.nodes > 1 ? str_cat("-", options.node_rank) : "";
  return std::make_unique<SnapshotFolder>(logs, job.id + node);
}

std::string kind_of(TaskType type) { return type == TaskType::kWorker ? "worker" : "ps"; }

std::string task_name(TaskType type, int index) { return str_cat(kind_of(type), " ", index); }

class TaskMaker {
 public:
  // `snapshots`: folder of the servers' snapshots; empty: they make none.
  TaskMaker(const LaunchOptions& options, const Job& job, std::string logs, std::string snapshots)
      : options_(options),
        job_(job),
        logs_(std::move(logs)),
        snapshots_(std::move(snapshots)),
        environment_(without_cluster(process_environment())),
        cores_(usable_cores()),
        tasks_(options.workers + options.parameter_servers),
        threads_(threads_of_task(options, environment_, tasks_)) {
    if (!options.program.empty()) program_ = find_program(options.program[0]);
  }

  SupervisedTask worker(int index) const {
    ClusterSpec spec;
    spec.rank = options_.node_rank * options_.workers + index;
    spec.local_rank = index;
    spec.local_size = options_.workers;
    SupervisedTask task = make(spec, index);
    task.shown = spec.rank == 0;
    if (options_.program.empty()) {
      task.command.arguments = {"trireme", "train", options_.job, "--threads",
                                std::to_string(threads_)};
      if (options_.metrics) {
        task.command.arguments.insert(task.command.arguments.end(),
                                      {"--metrics", option_text(*options_.metrics)});
      }
      task.command.arguments.insert(task.command.arguments.end(), options_.train_arguments.begin(),
                                    options_.train_arguments.end());
    } else {
      task.command.program = program_;
      task.command.arguments = options_.program;
    }
    return task;
  }

  SupervisedTask parameter_server(int index) const {
    ClusterSpec spec;
    spec.task_type = TaskType::kParameterServer;
    spec.rank = options_.node_rank * options_.parameter_servers + index;
    spec.local_rank = index;
    spec.local_size = options_.parameter_servers;
    SupervisedTask task = make(spec, options_.workers + index);
    task.serves = true;
    task.command.arguments = {"trireme", "ps", "--threads", std::to_string(threads_)};
    const auto option = [&](const char* name, const auto& value) {
      task.command.arguments.push_back(name);
      task.command.arguments.push_back(str_cat(value));
    };
    option("--memory-gib", options_.ps_memory_gib > 0
                               ? options_.ps_memory_gib
                               : kServersShareOfMemory * memory_gib() / options_.parameter_servers);
    if (!snapshots_.empty()) {
      option("--snapshot-dir", snapshots_);
      option("--snapshot-interval", options_.ps_snapshot_interval_s);
    }
    if (const auto first = server_metrics(options_)) option("--metrics", option_text(*first));
    return task;
  }

 private:
  SupervisedTask make(ClusterSpec& spec, int share) const {
    spec.world_size = options_.nodes * options_.workers;
    spec.parameter_servers = options_.nodes * options_.parameter_servers;
    spec.ps_replicas = options_.ps_replicas;
    spec.coordinator = job_.coordinator;
    spec.listen = job_.listen;
    spec.job_id = job_.id;
    spec.secret = job_.secret;
    spec.tls = job_.tls;
    SupervisedTask task;
    task.name = task_name(spec.task_type, spec.rank);
    task.log_path = str_cat(logs_, "/", kind_of(spec.task_type), "-", spec.rank, ".log");
    task.command.program = "/proc/self/exe";
    task.command.environment = environment_;
    for (const auto& [name, value] : to_environment(spec)) task.command.environment[name] = value;
    if (!job_.run.empty()) {
      task.command.environment["TRIREME_RUN_ID"] = job_.run;
      const std::string starters = started_by(process_environment());
      if (!starters.empty()) task.command.environment["TRIREME_STARTED_BY"] = starters;
    }
    task.command.environment["OMP_NUM_THREADS"] = std::to_string(threads_);
    // Only rank 0's output is seen as it comes; a bar that is drawn over is nothing for a file.
    const bool terminal = spec.rank == 0 && isatty(STDERR_FILENO) == 1;
    task.command.environment.emplace("TRIREME_PROGRESS", terminal ? "bar" : "lines");
    const std::vector<int> cores = share_of_cores(cores_, share, tasks_);
    if (options_.pin && threads_ <= static_cast<int>(cores.size())) task.command.cpus = cores;
    return task;
  }

  const LaunchOptions& options_;
  const Job& job_;
  const std::string logs_, snapshots_;
  const Environment environment_;
  const std::vector<int> cores_;
  const int tasks_;
  const int threads_;
  std::string program_;
};

// How the coordinator has tasks of this machine replaced that hang. `supervisor` outlives it.
Launcher make_launcher(const LaunchOptions& options, Supervisor& supervisor) {
  return {.first_worker = options.node_rank * options.workers,
          .workers = options.workers,
          .first_server = options.node_rank * options.parameter_servers,
          .servers = options.parameter_servers,
          .max_restarts = options.max_restarts,
          .replace =
              [&supervisor](const HungTask& task) {
                supervisor.replace({.task = task_name(task.type, task.index),
                                    .start = task.start,
                                    .running_for = task.running_for,
                                    .why = task.why});
              },
          .stop =
              [&supervisor](const StoppedTask& task) {
                const char* name = sigabbrev_np(task.signal);
                supervisor.stop({.signal = task.signal == SIGINT ? SIGINT : SIGTERM,
                                 .why = str_cat(task.who, " was told to stop by SIG",
                                                name != nullptr ? name : "?")});
              }};
}

// What the command line does not say, the job does: one program's waits have one length.
LaunchOptions with_times_of_job(LaunchOptions options, const job::Distributed& times) {
  const auto fill = [](std::optional<double>& option, double of_job, double otherwise) {
    if (!option) option = of_job > 0 ? of_job : otherwise;
  };
  fill(options.join_timeout_s, times.join_timeout_s(), kJoinTimeout);
  fill(options.stall_warning_s, times.stall_warning_s(), kStallWarning);
  fill(options.collective_timeout_s, times.collective_timeout_s(), kCollectiveTimeout);
  return options;
}

void check(const LaunchOptions& options) {
  if (options.job.empty() == options.program.empty()) {
    throw invalid_argument(options.job.empty()
                               ? "expected a job file, or -- and a program; see trireme launch "
                                 "--help"
                               : "a job file and a program after -- were given; one of them runs");
  }
  if (options.node_rank < 0 || options.node_rank >= options.nodes) {
    throw invalid_argument("--node-rank ", options.node_rank, ": expected 0 to ", options.nodes - 1,
                           " with --nodes ", options.nodes);
  }
  if (options.nodes > 1 && options.coordinator.empty()) {
    throw invalid_argument("--nodes ", options.nodes,
                           " needs --coordinator HOST:PORT: where the launcher of node 0 is "
                           "reached, the same on every node");
  }
  if (!options.coordinator.empty() && options.port > 0)
    throw invalid_argument("--port and --coordinator both name the coordinator's port; give one");
  if (options.ps_replicas > std::max(1, options.nodes * options.parameter_servers)) {
    throw invalid_argument("--ps-replicas ", options.ps_replicas, " needs at least ",
                           options.ps_replicas, " parameter servers: give --ps");
  }
  check_metrics(options);
  check_server_count(options.nodes * options.parameter_servers);
  if (options.min_workers > options.nodes * options.workers) {
    throw invalid_argument("--min-workers ", options.min_workers, ": the job has only ",
                           options.nodes * options.workers, " workers");
  }
}

}  // namespace

int launch(const LaunchOptions& given) {
  check(given);
  const std::optional<JobFile> file = read_job(given);
  const LaunchOptions options =
      with_times_of_job(given, file ? file->job().distributed() : job::Distributed());
  if (!options.coordinator.empty()) {
    wait_for_name(options.coordinator, to_ms(*options.join_timeout_s));
  }
  const Environment environment = process_environment();
  Job job{.id = job_id(options, environment),
          .secret = job_secret(options, environment),
          .run = {},
          .coordinator = options.coordinator,
          .listen = listen_address(options),
          .tls = resolve_tls(options.tls, environment,
                             tls_of(file ? file->job().distributed() : job::Distributed()))};
  const bool steps_together = options.program.empty() && options.parameter_servers == 0;
  Supervisor supervisor(
      {.max_restarts = options.max_restarts,
       // Other nodes' workers count as well, and only their launchers see them.
       .min_tasks = options.min_workers == 0
                        ? 0
                        : std::max(1, options.min_workers - (options.nodes - 1) * options.workers),
       .restart_after_success = !steps_together,
       .grace = to_ms(options.grace_s),
       .report = {}});
  const std::string output = file ? file->job().output_dir() : "";
  const std::unique_ptr<RunFolder> folder = hold_folder(options, job, output);
  job.run = run_of(options, output, environment);
  const std::string logs = log_directory(options, output, job);
  std::unique_ptr<Coordinator> coordinator;
  const bool alone = options.nodes * options.workers == 1 && options.parameter_servers == 0;
  if (options.node_rank == 0 && !(alone && options.coordinator.empty())) {
    coordinator = std::make_unique<Coordinator>(coordinator_options(options, job));
    if (job.coordinator.empty()) job.coordinator = coordinator->address();
    coordinator->add_launcher(make_launcher(options, supervisor));
  }
  std::unique_ptr<LauncherLink> link;
  if (options.node_rank > 0) {
    link = std::make_unique<LauncherLink>(
        CoordinatorTarget{.address = job.coordinator,
                          .security = {.secret = job.secret, .encryption = encryption_of(job)},
                          .job_id = job.id},
        make_launcher(options, supervisor));
  }
  const auto snapshots = make_snapshot_folder(options, job, logs);
  const TaskMaker make(options, job, logs, snapshots ? snapshots->path() : "");
  // For `trireme ps rebalance`.
  std::optional<JobAddressFile> address;
  if (options.parameter_servers > 0 && options.node_rank == 0) {
    address.emplace(logs, JobAddress{job.coordinator, job.id, job.secret, job.tls});
  }
  const auto targets = MetricsTargetsFile::make(logs, options);
  std::vector<SupervisedTask> tasks;
  for (int i = 0; i < options.parameter_servers; ++i) tasks.push_back(make.parameter_server(i));
  for (int i = 0; i < options.workers; ++i) tasks.push_back(make.worker(i));
  Supervisor::report_to_standard_error(
      str_cat(options.workers, " of ", options.nodes * options.workers, " workers",
              options.parameter_servers > 0
                  ? str_cat(" and ", options.parameter_servers, " parameter servers")
                  : "",
              " here", job.coordinator.empty() ? "" : ", coordinator " + job.coordinator,
              ", logs in ", logs, describe_metrics(options)));
  const JobEnd end = supervisor.run(tasks);
  // The last workers of other nodes may still be saying goodbye.
  const auto deadline = std::chrono::steady_clock::now() + to_ms(options.grace_s);
  while (end.exit_code == 0 && options.nodes > 1 && coordinator && coordinator->members() > 0 &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  // What rank 0 printed is the result of the job.
  if (const int error_number = TaskLog::output_error(); end.exit_code == 0 && error_number != 0) {
    throw standard_output_error(error_number);
  }
  return end.exit_code;
}

}  // namespace trireme
