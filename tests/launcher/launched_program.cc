// What the tests of `trireme launch` run as tasks. Its arguments are done one after another; each
// may begin with a condition: "2/" (only rank 2), "2.0/" (only its first start).
//
//   environment  cores  print:TEXT  error:TEXT  lines:COUNT  touch:FILE  await:FILE  wait-signal
//   ignore:SIGNAL  child:FILE  join  exit:CODE  die:SIGNAL
//
// FILE may contain {rank}. touch and child write a process id.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "distributed/coordination/coordinator_client.h"

namespace {

using namespace std::chrono_literals;

// Longer than the tests wait: a task that is left behind must be seen.
constexpr auto kDeadline = 60s;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string with_rank(std::string text) {
  const size_t at = text.find("{rank}");
  if (at != std::string::npos) text.replace(at, 6, variable("TRIREME_RANK"));
  return text;
}

// Appears whole or not at all.
void write_pid(const std::string& path, pid_t pid) {
  std::ofstream(path + ".part") << pid;
  std::filesystem::rename(path + ".part", path);
}

void print_cores() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  std::printf("cores %d\n", CPU_COUNT(&set));
}

void await(const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!std::filesystem::exists(path)) {
    if (std::chrono::steady_clock::now() > end) std::exit(99);
    std::this_thread::sleep_for(5ms);
  }
}

// SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2; they are blocked from the start of the program.
void wait_signal(const sigset_t& signals) {
  const timespec deadline{60, 0};
  const int number = sigtimedwait(&signals, nullptr, &deadline);
  if (number < 0) std::exit(98);
  std::printf("caught SIG%s\n", sigabbrev_np(number));
  std::fflush(stdout);
}

void start_child(const std::string& path) {
  const pid_t pid = fork();
  if (pid == 0) {
    std::signal(SIGTERM, SIG_IGN);
    write_pid(path, getpid());
    std::this_thread::sleep_for(60s);
    _exit(0);
  }
  await(path);
}

// Meets all other workers at the coordinator.
void join() {
  trireme::CoordinatorClient client({.address = variable("TRIREME_COORDINATOR"),
                                     .secret = variable("TRIREME_SECRET"),
                                     .job_id = variable("TRIREME_JOB_ID"),
                                     .connect_timeout = kDeadline});
  const auto membership = client.join({.rank = std::stoi(variable("TRIREME_RANK")),
                                       .world_size = std::stoi(variable("TRIREME_WORLD_SIZE")),
                                       .host = "here",
                                       .host_id = "here",
                                       .pid = getpid(),
                                       .incarnation = std::stoul(variable("TRIREME_INCARNATION"))});
  client.attend(nullptr, [](const trireme::Error&) {});
  client.barrier("met", kDeadline);
  std::printf("joined as %d of %d\n", membership.group.rank, membership.group.size());
}

// Whether this argument is for this task; takes the condition off.
bool is_for_me(std::string& action) {
  const size_t slash = action.find('/');
  if (slash == std::string::npos || slash > action.find(':')) return true;
  const std::string condition = action.substr(0, slash);
  action.erase(0, slash + 1);
  const std::string rank = variable("TRIREME_RANK");
  return condition == rank || condition == rank + "." + variable("TRIREME_INCARNATION");
}

void run(const std::string& action, const std::string& value, const sigset_t& signals) {
  if (action == "environment") {
    for (char** entry = environ; *entry != nullptr; ++entry) std::printf("%s\n", *entry);
  } else if (action == "cores") {
    print_cores();
  } else if (action == "print") {
    std::printf("%s\n", value.c_str());
  } else if (action == "error") {
    std::fprintf(stderr, "%s\n", value.c_str());
  } else if (action == "lines") {
    for (int i = 0; i < std::stoi(value); ++i) std::printf("line %d\n", i);
  } else if (action == "touch") {
    write_pid(with_rank(value), getpid());
  } else if (action == "await") {
    await(with_rank(value));
  } else if (action == "wait-signal") {
    wait_signal(signals);
  } else if (action == "ignore") {
    std::signal(std::stoi(value), SIG_IGN);
  } else if (action == "child") {
    start_child(with_rank(value));
  } else if (action == "join") {
    join();
  } else if (action == "exit") {
    std::exit(std::stoi(value));
  } else if (action == "die") {
    std::fflush(nullptr);
    std::raise(std::stoi(value));
  } else {
    std::fprintf(stderr, "unknown action %s\n", action.c_str());
    std::exit(97);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&signals, number);
  // Only a program that waits for signals survives them.
  for (int i = 1; i < argc; ++i) {
    std::string action = argv[i];
    if (is_for_me(action) && action == "wait-signal") sigprocmask(SIG_BLOCK, &signals, nullptr);
  }
  try {
    for (int i = 1; i < argc; ++i) {
      std::string action = argv[i];
      if (!is_for_me(action)) continue;
      const size_t colon = action.find(':');
      run(action.substr(0, colon), colon == std::string::npos ? "" : action.substr(colon + 1),
          signals);
    }
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
  return 0;
}
