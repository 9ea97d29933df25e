#include "benchmarks/allreduce_bench.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <thread>

#include "core/base/error.h"
#include "core/tensor/tensor.h"
#include "distributed/cluster/security.h"
#include "distributed/collective/folder_rendezvous.h"
#include "distributed/collective/make_communicator.h"
#include "worker/cluster_runtime.h"

namespace trireme {
namespace {

constexpr size_t kLargest = 64 << 20;
constexpr std::chrono::seconds kMeetTimeout{60};

double rounded(double value, double digits) { return std::round(value * digits) / digits; }

std::vector<size_t> sizes(const AllreduceBenchOptions& options) {
  if (options.bytes > 0) return {static_cast<size_t>(options.bytes)};
  std::vector<size_t> all;
  for (size_t bytes = 4; bytes <= kLargest; bytes *= 8) all.push_back(bytes);
  return all;
}

// What one rank does; rank 0 writes.
void measure(Communicator& communicator, const AllreduceBenchOptions& options, std::ostream& out) {
  const Summation summation = options.tree ? Summation::kTree : Summation::kAny;
  const int n = communicator.size();
  for (const size_t bytes : sizes(options)) {
    Tensor tensor(DType::kFloat32, {static_cast<int64_t>(bytes / sizeof(float))});
    const std::span<float> values = tensor.flat<float>();
    const TensorSpan data{values.data(), static_cast<int64_t>(values.size()), DType::kFloat32};
    // Small whole numbers: every order of adding gives the same sum.
    for (int warmup = 0; warmup < 3; ++warmup) {
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(communicator.rank() + static_cast<int>(i % 7));
      }
      communicator.all_reduce(data, ReduceOp::kSum, summation);
      for (size_t i = 0; i < values.size(); ++i) {
        const int expected = n * (n - 1) / 2 + n * static_cast<int>(i % 7);
        if (values[i] != static_cast<float>(expected)) {
          throw failed("all-reduce of ", bytes, " bytes: expected ", expected, " at element ", i,
                       ", found ", values[i]);
        }
      }
    }
    std::ranges::fill(values, 0.0F);
    std::vector<double> us(bytes < (1 << 17) ? 200 : 20);
    for (double& time : us) {
      const auto start = std::chrono::steady_clock::now();
      communicator.all_reduce(data, ReduceOp::kSum, summation);
      time = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
                 .count();
    }
    std::ranges::sort(us);
    const double median = us[us.size() / 2];
    if (communicator.rank() != 0) continue;
    const double bus = static_cast<double>(bytes) / median * 2 * (n - 1) / n / 1e3;
    out << nlohmann::ordered_json{{"peer", "trireme"},
                                  {"backend", options.backend},
                                  {"workers", n},
                                  {"bytes", bytes},
                                  {"us", rounded(median, bytes < 1024 ? 100 : 10)},
                                  {"busbw_gb_s", rounded(bus, 1000)}}
               .dump()
        << std::endl;
  }
}

// Each worker on its own core where there are enough, as mpirun binds its ranks: whether two of
// them happen to be put on one is not what is measured.
void bind_to_core(int rank, int workers) {
  cpu_set_t all, own;
  if (sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) < workers) return;
  int index = 0;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &all) || index++ != rank) continue;
    CPU_ZERO(&own);
    CPU_SET(core, &own);
    sched_setaffinity(0, sizeof(own), &own);
    return;
  }
}

void run_rank(const AllreduceBenchOptions& options, std::ostream& out) {
  int rank = options.rank;
  if (rank == -2) {
    const char* found = std::getenv("OMPI_COMM_WORLD_RANK");
    if (found == nullptr) throw invalid_argument("expected to be started by mpirun");
    rank = std::atoi(found);
  }
  // Only where nothing but the ranks' own threads runs.
  if (options.backend == "shm") bind_to_core(rank, options.workers);
  ClusterSpec spec;
  spec.secret = options.folder;
  spec.tls = options.tls;
  auto endpoint = make_endpoint({.backend = options.backend,
                                 .secret = spec.secret,
                                 .encryption = make_security(spec).encryption});
  const Group group =
      meet_in_folder(options.folder, rank, options.workers, *endpoint, kMeetTimeout);
  auto communicator = endpoint->connect(group, {});
  measure(*communicator, options, out);
  communicator->barrier();
}

// As a task of a cluster, which a launcher on each host or anything else has started.
void run_in_cluster(const AllreduceBenchOptions& options, std::ostream& out) {
  const auto slots = std::make_shared<CommunicatorSlots>();
  ClusterRuntime runtime(resolve_cluster({}, process_environment()), {.backend = options.backend},
                         slots);
  runtime.join({{"bench", "allreduce"}, {"backend", options.backend}}, 0);
  measure(runtime.communicator(), options, out);
  runtime.communicator().barrier();
  runtime.leave();
}

void run_threads(const AllreduceBenchOptions& options, std::ostream& out) {
  auto communicators = make_local_group(options.workers);
  std::vector<std::jthread> threads;
  for (size_t rank = 1; rank < communicators.size(); ++rank) {
    threads.emplace_back([&, rank] { measure(*communicators[rank], options, out); });
  }
  measure(*communicators[0], options, out);
}

// The children: each dies with this process, and all as soon as one fails.
class Children {
 public:
  ~Children() {
    for (const pid_t pid : pids_) kill(pid, SIGKILL);
    for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }

  void start(const std::vector<std::string>& arguments) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw failed("cannot start a process for a worker");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      execvp(argv[0], argv.data());
      _exit(127);
    }
    pids_.push_back(pid);
  }

  void wait_for_all() {
    while (!pids_.empty()) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, 0);
      const auto found = std::ranges::find(pids_, pid);
      if (found == pids_.end()) continue;
      pids_.erase(found);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        throw not_found("cannot run the program of a worker; is mpirun installed?");
      }
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw failed("a worker of the bench failed (status ", status, "), see above");
      }
    }
  }

 private:
  std::vector<pid_t> pids_;
};

struct MeetingPlace {
  MeetingPlace() {
    path = (std::filesystem::temp_directory_path() / "trireme-bench-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw failed("cannot make a folder like ", path);
  }
  ~MeetingPlace() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace

std::vector<std::string> allreduce_bench_backends() {
  std::vector<std::string> backends = collective_backends();
  backends.insert(backends.end(), {"local", "mpi-native"});
  return backends;
}

void bench_allreduce(const AllreduceBenchOptions& options, std::ostream& out) {
  if (options.rank != -1) return run_rank(options, out);
  if (options.in_cluster) return run_in_cluster(options, out);
  if (options.backend == "local") return run_threads(options, out);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string workers = std::to_string(options.workers);
  const std::vector<std::string> mpirun = {"mpirun", "-np", workers, "--oversubscribe",
                                           "--allow-run-as-root"};
  const MeetingPlace folder;
  Children children;
  std::vector<std::string> worker = {program, "bench", "allreduce"};
  worker.insert(worker.end(), {"--workers", workers, "--backend", options.backend});
  worker.insert(worker.end(), {"--summation", options.tree ? "tree" : "any"});
  worker.insert(worker.end(), {"--bytes", std::to_string(options.bytes)});
  if (!options.tls.mode.empty()) worker.insert(worker.end(), {"--tls", options.tls.mode});
  worker.insert(worker.end(), {"--rendezvous", folder.path, "--rank"});
  if (options.backend == "mpi-native") {
    std::vector<std::string> command = mpirun;
    command.push_back(std::filesystem::path(program).replace_filename("mpi_native_allreduce"));
    children.start(command);
  } else if (options.backend.ends_with("mpi")) {
    std::vector<std::string> command = mpirun;
    command.insert(command.end(), worker.begin(), worker.end());
    command.emplace_back("-2");
    children.start(command);
  } else {
    for (int rank = 0; rank < options.workers; ++rank) {
      std::vector<std::string> command = worker;
      command.push_back(std::to_string(rank));
      children.start(command);
    }
  }
  children.wait_for_all();
}

}  // namespace trireme
