// The subcommands of `trireme`, one file each. Each adds itself to the program and runs when it was
// asked for.
#pragma once

#include <string>
#include <vector>

#include "worker/program_tables.h"

namespace CLI {
class App;
}

namespace trireme {

// What follows -- in `trireme launch … -- PROGRAM ARGUMENTS`, taken off the command line: it is not
// ours to read.
std::vector<std::string> take_launched_program(int& argc, char** argv);

// The words of the command line with the value of --resume, which may be left out, tied to it:
// "--resume 300" as "--resume=300", "--resume" as "--resume=newest". A file that is no checkpoint
// is no value: it is the job.
std::vector<std::string> join_resume_values(int argc, char** argv);

// What commands work with; it outlives the program's parsing.
struct CommandContext {
  ProgramTables tables;
  int exit_code = 0;  // of a command that ends without an Error
};

void add_train_command(CLI::App& app, CommandContext& context);
void add_sweep_command(CLI::App& app, CommandContext& context);
void add_ps_command(CLI::App& app, CommandContext& context);
void add_rebalance_command(CLI::App& ps);
void add_launch_command(CLI::App& app, const std::vector<std::string>& program,
                        CommandContext& context);
void add_evaluate_command(CLI::App& app, CommandContext& context);
void add_predict_command(CLI::App& app, CommandContext& context);
void add_inspect_command(CLI::App& app, CommandContext& context);
void add_convert_command(CLI::App& app, CommandContext& context);
void add_export_command(CLI::App& app, CommandContext& context);
void add_fetch_model_command(CLI::App& app);
void add_describe_command(CLI::App& app, CommandContext& context);
void add_generate_command(CLI::App& app);
void add_curves_command(CLI::App& app);
void add_devices_command(CLI::App& app);
void add_cluster_command(CLI::App& app);
void add_bench_command(CLI::App& app, CommandContext& context);

}  // namespace trireme
