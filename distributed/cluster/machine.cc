#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>
#include <csignal>
#include <thread>

#include "core/base/error.h"
#include "distributed/cluster/address.h"
#include "distributed/cluster/sources.h"

extern char** environ;

namespace trireme::cluster {
namespace {

using Clock = std::chrono::steady_clock;

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, HOST_NAME_MAX) == 0 ? name : "localhost";
}

// What a program prints until it ends; empty when it cannot be run, fails or takes too long.
std::string output_of(const std::vector<std::string>& arguments, std::chrono::seconds limit) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return "";
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  bool finished = false;
  const auto deadline = Clock::now() + limit;
  while (error == 0 && !finished && text.size() < 1 << 16) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd fd{ends[0], POLLIN, 0};
    if (left.count() <= 0 || poll(&fd, 1, static_cast<int>(left.count())) <= 0) break;
    std::array<char, 4096> buffer;
    const ssize_t count = read(ends[0], buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
    finished = count <= 0;
  }
  close(ends[0]);
  if (error != 0) return "";
  int status = 0;
  // It closed its output: it is about to end.
  while (finished && waitpid(pid, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) finished = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (!finished) {
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
  }
  return finished && status == 0 ? text : "";
}

}  // namespace

std::string node_address_in(std::string_view output) {
  constexpr std::string_view kKey = "NodeAddr=";
  const size_t found = output.find(kKey);
  if (found == std::string_view::npos) return "";
  output.remove_prefix(found + kKey.size());
  return std::string(output.substr(0, output.find_first_of(" \t\n")));
}

std::string ask_scontrol(const std::string& node) {
  return node_address_in(output_of({"scontrol", "show", "node", node}, std::chrono::seconds(10)));
}

Machine this_machine() {
  Machine machine;
  machine.host_name = host_name();
  machine.full_host_name = [name = machine.host_name] { return full_name(name); };
  machine.user_id = getuid();
  machine.process_id = getpid();
  machine.address_of = numeric_address;
  machine.route_to = local_address_towards;
  machine.interface_address = [name = machine.host_name] {
    const std::string own = numeric_address(name);
    return own.empty() || is_loopback(own) ? first_interface_address() : own;
  };
  machine.slurm_node_address = ask_scontrol;
  return machine;
}

}  // namespace trireme::cluster
