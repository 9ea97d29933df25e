#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "launcher/commands.h"
#include "launcher/launch_job.h"
#include "launcher/metrics_option.h"
#include "launcher/printable_path.h"
#include "launcher/tls_options.h"

namespace trireme {
namespace {

constexpr char kFooter[] =
    "  trireme launch [OPTIONS] JOB [OPTIONS OF TRAIN]\n"
    "  trireme launch [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
    "\n"
    "What stands after JOB and is no option of launch goes to `trireme train`; what follows -- is "
    "run as it is.\n"
    "\n"
    "Each task finds its place in TRIREME_RANK, TRIREME_WORLD_SIZE, TRIREME_LOCAL_RANK, "
    "TRIREME_LOCAL_SIZE, TRIREME_COORDINATOR and so on; TRIREME_INCARNATION counts its restarts. "
    "Its output is in LOGS/worker-RANK.log (ps-INDEX.log); what rank 0 prints is also shown. "
    "SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on and end the job, also when one of "
    "its tasks gets them; one that is ignored at the start (nohup) stays ignored. When the "
    "launcher "
    "dies, however it dies, so do all tasks. A task that hangs is killed, and restarted or "
    "blamed.\n"
    "\n"
    "Examples:\n"
    "  trireme launch --workers 2 examples/mnist_lenet.textproto\n"
    "  trireme launch --workers 4 --threads 1 examples/mnist_lenet.textproto --set epochs=1\n"
    "  trireme launch --workers 2 --ps 2 --ps-replicas 2 --max-restarts 5 "
    "examples/criteo_dlrm.textproto\n"
    "  trireme launch --workers 3 --max-restarts 5 --min-workers 2 job.textproto\n"
    "  trireme launch --workers 2 -- ./my_program --its-option 3\n"
    "On two machines, with one secret in a file that both have:\n"
    "  n0$ trireme launch --nodes 2 --node-rank 0 --coordinator n0:29400 --secret-file key "
    "--workers 2 job.textproto\n"
    "  n1$ trireme launch --nodes 2 --node-rank 1 --coordinator n0:29400 --secret-file key "
    "--workers 2 job.textproto\n"
    "\n"
    "Exit codes: 0 when all tasks succeeded; else that of the task that failed first, 1 when a "
    "signal ended it, 75 when it hung; 130 when the job was stopped by Ctrl-C, 75 by another "
    "signal.";

}  // namespace

std::vector<std::string> take_launched_program(int& argc, char** argv) {
  int command = 1;
  while (command < argc && argv[command][0] == '-') ++command;
  if (command >= argc || std::strcmp(argv[command], "launch") != 0) return {};
  for (int i = command + 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") != 0) continue;
    std::vector<std::string> program(argv + i + 1, argv + argc);
    argc = i;
    return program;
  }
  return {};
}

void add_launch_command(CLI::App& app, const std::vector<std::string>& program,
                        CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("launch", "Start, watch and restart the tasks of a job on this machine");
  command->footer(kFooter);
  command->allow_extras();
  auto options = std::make_shared<LaunchOptions>();
  options->program = program;
  const CLI::Range seconds(0.0, 1e6, "seconds");

  command->add_option("JOB", options->job,
                      "Job file (protobuf text; trireme describe says what may be in it)");
  command->add_option("--workers", options->workers, "Workers on this machine")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--ps", options->parameter_servers, "Parameter servers on this machine")
      ->check(CLI::Range(0, 1024));
  command
      ->add_option("--ps-replicas", options->ps_replicas,
                   "Servers that hold each row: with 2, any one may die and nothing is lost")
      ->check(CLI::Range(1, 2))
      ->capture_default_str();
  command
      ->add_option("--ps-memory-gib", options->ps_memory_gib,
                   "Memory of each server's tables (else its share of 80% of the machine's)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--ps-snapshot-interval", options->ps_snapshot_interval_s,
                   "Seconds between the snapshots from which a server without a replica goes on "
                   "after a restart; 0: none")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  add_metrics_option(*command, "--metrics",
                     "Serve Prometheus' /metrics: worker I of this machine on PORT + I, the "
                     "servers behind them; 0: each on any that is free. Without HOST on loopback",
                     options->metrics);
  add_metrics_option(*command, "--ps-metrics-port",
                     "The same for the servers alone, from this port on", options->ps_metrics);
  command
      ->add_option("--max-restarts", options->max_restarts,
                   "How often a task is started again that a signal ended or that exits with 75")
      ->check(CLI::Range(0, 1'000'000));
  command
      ->add_option("--min-workers", options->min_workers,
                   "Go on with so many when others are lost; 0: all are needed")
      ->check(CLI::Range(0, 1 << 20));
  command
      ->add_option("--log-dir", options->log_directory,
                   "Folder of logs (else OUTPUT_DIR/logs of the job, trireme-logs/ID for a "
                   "program)")
      ->check(printable_path);
  command
      ->add_option("--threads", options->threads,
                   "Compute threads of each task (else OMP_NUM_THREADS, else its share of the "
                   "cores)")
      ->check(CLI::Range(0, 1024));
  command->add_flag_callback(
      "--no-affinity", [options] { options->pin = false; },
      "Do not tie each task to its share of the cores");
  command->add_option("--nodes", options->nodes, "Machines; a launcher on each")
      ->check(CLI::Range(1, 4096));
  command->add_option("--node-rank", options->node_rank, "Which of them this is, from 0")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--coordinator", options->coordinator,
                   "Where all tasks meet: an address of node 0, whose launcher listens there")
      ->type_name("HOST:PORT");
  command->add_option("--port", options->port, "Port of the coordinator on a single machine")
      ->check(CLI::Range(0, 65535));
  command->add_option("--listen", options->listen,
                      "Address of this machine at which other nodes reach its tasks");
  command->add_option("--secret-file", options->secret_file,
                      "File with the secret of the job, the same on all nodes, which only you may "
                      "read (else TRIREME_SECRET); one machine makes its own");
  add_tls_options(*command, options->tls);
  command
      ->add_option("--grace", options->grace_s, "Seconds from asking tasks to end to killing them")
      ->check(seconds)
      ->capture_default_str();
  command
      ->add_option("--join-timeout", options->join_timeout_s,
                   "Seconds in which all workers must have met (else the job's "
                   "distributed.join_timeout_s, else 120)")
      ->check(seconds);
  command
      ->add_option(
          "--stall-warning", options->stall_warning_s,
          "Say who is missing when a collective is late by so many seconds (else the job's "
          "distributed.stall_warning_s, else 10)")
      ->check(seconds);
  command
      ->add_option("--collective-timeout", options->collective_timeout_s,
                   "Give a collective up that is late by so many seconds, and replace a task that "
                   "hangs (else the job's distributed.collective_timeout_s, else 60)")
      ->check(seconds);
  command->callback([command, options, &context] {
    options->train_arguments = command->remaining();
    options->schema = context.tables.schema;
    context.exit_code = launch(*options);
  });
}

}  // namespace trireme
