#include "launcher/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/collective/mpi_endpoint.h"
#include "distributed/connection/file_limit.h"
#include "launcher/commands.h"
#include "launcher/interrupt_cleanup.h"
#include "launcher/standard_output.h"

namespace trireme {
namespace {

constexpr char kFooter[] =
    "Example:\n"
    "  trireme train examples/digits_lenet.textproto\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 bad input or usage, 75 told to stop, or lost a peer: a "
    "restart "
    "goes on, 130 interrupted by Ctrl-C.";

int run(int argc, char** argv, const ProgramExtension& extension) {
  const std::vector<std::string> launched = take_launched_program(argc, argv);
  std::vector<std::string> words = join_resume_values(argc, argv);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  CLI::App app{"Trireme trains one dataflow graph everywhere."};
  app.name("trireme");
  app.set_version_flag("--version", "trireme " TRIREME_VERSION);
  app.set_help_all_flag("--help-all", "Help of every command");
  app.footer(kFooter);
  app.require_subcommand(1);
  bool verbose = false;
  app.add_flag("--verbose", verbose, "Log what is of use to a developer");
  app.parse_complete_callback([&] { init_logging(argv[0], {.verbose = verbose}); });
  CommandContext context{.tables = make_program_tables(extension)};
  add_train_command(app, context);
  add_launch_command(app, launched, context);
  add_sweep_command(app, context);
  add_ps_command(app, context);
  add_evaluate_command(app, context);
  add_predict_command(app, context);
  add_inspect_command(app, context);
  add_convert_command(app, context);
  add_export_command(app, context);
  add_fetch_model_command(app);
  add_describe_command(app, context);
  add_generate_command(app);
  add_curves_command(app);
  add_devices_command(app);
  add_cluster_command(app);
  add_bench_command(app, context);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    std::fprintf(stderr, "trireme: %s\nRun trireme --help, or trireme COMMAND --help.\n",
                 error.what());
    return 2;
  }
  return context.exit_code;
}

}  // namespace

int run_command_line(int argc, char** argv, const ProgramExtension& extension) {
  keep_standard_descriptors();
  raise_file_limit();
  remove_temporaries_when_interrupted();
  StandardOutput output;
  try {
    const int code = run(argc, argv, extension);
    output.finish();
    return code;
  } catch (const Error& error) {
    std::fprintf(stderr, "trireme: %s\n", error.what());
    mpi_end_with_error(error.what());
    return error.code() == ErrorCode::kCancelled ? 130 : error.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "trireme: out of memory\n");
    mpi_end_with_error("out of memory");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trireme: %s\n", error.what());
    mpi_end_with_error(error.what());
  }
  return 1;
}

}  // namespace trireme
