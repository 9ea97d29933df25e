#include "tests/support/slurm.h"

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "core/base/error.h"
#include "tests/support/free_ports.h"

namespace trireme::testing {
namespace {

namespace fs = std::filesystem;

std::string find_command(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::stringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

}  // namespace

std::string LocalSlurm::why_not() {
  if (geteuid() != 0)
    return "Slurm's daemons run as root; this is user " + std::to_string(getuid());
  for (const char* name :
       {"slurmctld", "slurmd", "srun", "sbatch", "scontrol", "munged", "munge", "setpriv"}) {
    if (find_command(name).empty()) {
      return std::string(name) +
             " is not installed: scripts/install_dependencies brings slurm-wlm and munge";
    }
  }
  return "";
}

std::string LocalSlurm::command(const std::string& name) {
  const std::string file = find_command(name);
  TRIREME_CHECK(!file.empty(), name);
  return file;
}

LocalSlurm::LocalSlurm() : conf_(folder_ / "slurm.conf") {
  script_ = std::make_unique<Process>(
      std::vector<std::string>{TRIREME_SOURCE_DIR "/tests/support/local_slurm", folder_.path(),
                               std::to_string(free_ports(3))});
  if (script_->wait_for_error_output("ready", std::chrono::seconds(40))) return;
  script_->signal(SIGTERM);
  throw Error(ErrorCode::kUnavailable, "the Slurm of the test did not start: " +
                                           script_->wait(std::chrono::seconds(20)).err);
}

LocalSlurm::~LocalSlurm() {
  script_->signal(SIGTERM);
  script_->wait(std::chrono::seconds(20));
}

}  // namespace trireme::testing
