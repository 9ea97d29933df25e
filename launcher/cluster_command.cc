#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "distributed/cluster/cluster_spec.h"
#include "launcher/commands.h"
#include "launcher/tls_options.h"

namespace trireme {

void add_cluster_command(CLI::App& app) {
  auto flags = std::make_shared<ClusterFlags>();
  CLI::App* command = app.add_subcommand(
      "cluster", "What this task's environment resolves to, and which source won");
  command->footer(
      "The first source that is there decides: these flags, TRIREME_*, TF_CONFIG, torchrun's\n"
      "variables, Open MPI, PMI, PMIx, Slurm, a pod's PET_*, JAX_*, VC_*, MPI host file or\n"
      "JOB_COMPLETION_INDEX; else it is a single process. The secret is not shown.\n"
      "Examples:\n"
      "  trireme cluster\n"
      "  mpirun -np 2 trireme cluster\n"
      "  trireme cluster --rank 1 --world-size 2 --coordinator n1:2222");
  command->add_option("--rank", flags->rank, "Which task this is, from 0")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--world-size", flags->world_size, "How many workers there are")
      ->check(CLI::PositiveNumber);
  command->add_option("--coordinator", flags->coordinator, "Where the tasks meet: in rank 0")
      ->type_name("HOST:PORT");
  command
      ->add_option("--listen", flags->listen,
                   "Address of this host that its servers bind and peers connect to")
      ->type_name("ADDRESS");
  add_tls_options(*command, flags->tls);
  command->callback(
      [flags] { std::cout << describe(resolve_cluster(*flags, process_environment())); });
}

}  // namespace trireme
