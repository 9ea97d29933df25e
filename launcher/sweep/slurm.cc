#include "launcher/sweep/slurm.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cctype>
#include <optional>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/base/text_file.h"
#include "core/io/atomic_file.h"
#include "launcher/supervisor/task_process.h"

namespace trireme::sweep {
namespace {

constexpr uint64_t kMaxOutput = 1 << 20;

// A task that is told to end saves its trials and goes back to the queue, ten times at most. Slurm
// may tell this shell instead of the task.
constexpr const char* kRest =
    R"( &
task=$!
trap 'kill -s TERM "$task" 2>/dev/null' HUP TERM USR1 USR2
wait "$task"
code=$?
while [[ $code -gt 128 ]] && kill -0 "$task" 2>/dev/null; do  # the trap ended the wait, not the task
  wait "$task"
  code=$?
done
if [[ $code -eq 75 && ${SLURM_RESTART_COUNT:-0} -lt 10 ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
)";

std::string script(const ArrayOptions& options) {
  std::string text = str_cat(
      "#!/usr/bin/env bash\n"
      "# Written by `trireme sweep --slurm`: each task takes trials of the sweep until none is "
      "left.\n"
      "#SBATCH --job-name=sweep\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=",
      options.cpus, "\n#SBATCH --array=0-", options.tasks - 1,
      "\n#SBATCH --signal=B:TERM@60\n#SBATCH --requeue\n#SBATCH --open-mode=append\n"
      "set -uo pipefail\n");
  for (const std::string& word : options.command) text += shell_word(word) + " ";
  text.pop_back();
  return text + kRest;
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-./=:,+@%") == std::string::npos;
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

std::string submit_array(const std::string& folder, const ArrayOptions& options) {
  const std::string sbatch = find_program("sbatch");
  const std::string path = folder + "/sweep.sbatch";
  io::write_file_atomically(path, script(options));
  TaskCommand command{.program = sbatch,
                      .arguments = {"sbatch", "--parsable", "--output=" + folder + "/slurm-%a.log"},
                      .environment = process_environment(),
                      .cpus = {}};
  if (options.wait) command.arguments.emplace_back("--wait");
  command.arguments.insert(command.arguments.end(), options.sbatch.begin(), options.sbatch.end());
  command.arguments.push_back(path);
  const std::string printed = folder + "/sbatch.log";
  const Descriptor output{
      ::open(printed.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644)};
  if (output.fd < 0) throw failed("cannot write ", printed);
  const ProcessGuard guard(1);
  TaskProcess process(command, output.fd, output.fd, guard);
  std::optional<TaskEnd> end;
  while (!(end = process.poll_end())) {
    pollfd fd{process.descriptor(), POLLIN, 0};
    poll(&fd, 1, -1);
  }
  const std::string text = read_text_file(printed, kMaxOutput, "what sbatch printed");
  const std::string job = text.substr(0, text.find_first_of(";\n"));
  const bool is_number = !job.empty() && job.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number || (!end->success() && !options.wait)) {
    throw failed("sbatch: ", end->to_string(), ": ", printable(text));
  }
  return job;
}

}  // namespace trireme::sweep
