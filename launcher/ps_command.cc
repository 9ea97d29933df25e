#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "launcher/commands.h"
#include "launcher/metrics_option.h"
#include "launcher/parameter_server_task.h"
#include "launcher/printable_path.h"
#include "launcher/stop_signals.h"
#include "launcher/supervisor/ending_signals.h"
#include "launcher/tls_options.h"

namespace trireme {

void add_ps_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "ps", "Serve parameters to the workers of a job: one of its parameter servers");
  command->footer(
      "`trireme launch --ps N` starts these itself; mpirun and srun do with `trireme train JOB "
      "--ps "
      "N`. By hand, with one TRIREME_SECRET and TRIREME_JOB_ID for all tasks:\n"
      "  trireme ps --index 0 --parameter-servers 2 --coordinator n1:2222\n"
      "  trireme ps --index 1 --parameter-servers 2 --coordinator n1:2222\n"
      "  trireme train JOB --rank 0 --world-size 1 --ps 2 --coordinator n1:2222\n"
      "It ends with the job. A signal stops the job: it serves until the workers have saved, and "
      "exits "
      "with 75 (130 after Ctrl-C).\n"
      "\n"
      "`trireme ps rebalance` evens out how busy they are: see its --help.");
  auto flags = std::make_shared<ClusterFlags>();
  auto options = std::make_shared<ParameterServerTaskOptions>();
  command->add_option("--index", flags->rank, "Which parameter server this is, from 0")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--parameter-servers,--ps", flags->parameter_servers,
                   "How many parameter servers the job has")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--ps-replicas", flags->ps_replicas,
                   "Servers that hold each row: with 2, any one may die and nothing is lost")
      ->check(CLI::Range(1, 2));
  command->add_option("--coordinator", flags->coordinator, "Where the tasks of the job meet")
      ->type_name("HOST:PORT");
  command
      ->add_option("--listen", flags->listen,
                   "Address of this host that the server binds and workers connect to")
      ->type_name("ADDRESS");
  add_tls_options(*command, flags->tls);
  command->add_option("--threads", options->threads, "Threads that own rows; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command
      ->add_option("--memory-gib", options->memory_gib,
                   "Memory of all tables; what would need more is refused; 0: 80% of the machine's")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--snapshot-dir", options->snapshot_directory,
                   "Write all rows there every so often: where a server without a replica goes "
                   "on after its death")
      ->check(printable_path);
  command
      ->add_option("--snapshot-interval", options->snapshot_interval_s,
                   "Seconds from one snapshot to the next")
      ->check(CLI::Range(1.0, 1e6));
  add_metrics_option(*command, "--metrics,--metrics-port", kMetricsHelp, options->metrics);
  command->add_flag_callback(
      "--no-shared-memory", [options] { options->shared_memory = false; },
      "Only the network, also for workers of this host");
  add_rebalance_command(*command);
  command->callback([command, flags, options, &context] {
    if (!command->get_subcommands().empty()) return;
    const std::atomic<bool>& stop = take_stop_signals();
    // A launcher's variables say which task this is, unless these options do.
    flags->is_server = flags->rank >= 0;
    const ClusterSpec spec = resolve_cluster(*flags, process_environment());
    if (spec.task_type != TaskType::kParameterServer) {
      throw invalid_argument(
          "trireme ps: nothing says which parameter server this is; give --index, "
          "--parameter-servers and --coordinator, or start the job with trireme launch --ps N");
    }
    options->ops = context.tables.ops;
    run_parameter_server(spec, *options, stop);
    if (stop_signal() != 0) context.exit_code = exit_code_after(stop_signal());
  });
}

}  // namespace trireme
