// trireme sweep: trains a job with many settings of its fields and says which is the best.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "launcher/commands.h"
#include "launcher/printable_path.h"
#include "launcher/standard_output.h"
#include "launcher/sweep/sweep.h"

namespace trireme {
namespace {

constexpr char kFooter[] =
    "  trireme sweep [OPTIONS] JOB --vary PATH=VALUES… [OPTIONS OF TRAIN]\n"
    "\n"
    "VALUES are\n"
    "  [A,B,C]            choices: what --set takes for the field\n"
    "  A..B, int(A,B[,STEP])  whole numbers, both ends too\n"
    "  uniform(A,B)       real numbers\n"
    "  log(A,B), int_log(A,B)  uniform in the logarithm\n"
    "PATH is that of --set; … (or ...) and * leave parts of it out: model…units.\n"
    "\n"
    "Each trial is a folder of its own with job, log, checkpoints and result.json. The same "
    "command "
    "goes on with a sweep that was interrupted, however it was: finished trials are not repeated, "
    "the others go on from their checkpoints. The same seed gives the same trials. See "
    "docs/sweeps.md.\n"
    "\n"
    "Examples:\n"
    "  trireme sweep examples/digits_lenet.textproto --vary "
    "'optimizer.learning_rate=log(1e-4,1e-1)' "
    "--trials 20\n"
    "  trireme sweep examples/mnist_mlp.textproto --search asha --trials 64 --metric val_accuracy "
    "--vary 'optimizer.learning_rate=log(1e-4,1e-1)' --vary 'batch_size=[32,64,128]'\n"
    "  trireme sweep examples/digits_lenet.textproto --search grid --vary 'batch_size=[64,128]' "
    "--vary 'optimizer=[ADAM,RMSPROP]'";

struct Options {
  std::string job, search = "random", task;
  std::vector<std::string> vary, space_files;
  bool maximize = false, minimize = false;
  std::optional<int64_t> trials, min_epochs, reduction;
  sweep::SweepOptions sweep;
};

// What is not for each trial alike.
void check_train_argument(const CLI::App& train, const std::string& argument) {
  if (!argument.starts_with("-")) return;
  const std::string name = argument.substr(0, argument.find('='));
  if (train.get_option_no_throw(name) == nullptr) {
    throw invalid_argument(name, ": is no option of sweep, nor of train");
  }
  for (const char* const own :
       {"--resume", "--overwrite", "--stop-after-epochs", "--save-graph", "--timeline", "--rank",
        "--world-size", "--coordinator", "--listen", "--parameter-servers", "--ps", "--metrics"}) {
    if (name != own) continue;
    throw invalid_argument(name,
                           ": a sweep cannot pass it on, for its trials run side by side and "
                           "go on by themselves; each is one process");
  }
}

sweep::Search search_of(const std::string& name) {
  return name == "grid"   ? sweep::Search::kGrid
         : name == "asha" ? sweep::Search::kAsha
                          : sweep::Search::kRandom;
}

void set_direction(const Options& options, sweep::Plan& plan) {
  const std::optional<bool> known = sweep::is_maximized(plan.metric);
  if (!known && !options.maximize && !options.minimize) {
    throw invalid_argument("--metric ", plan.metric,
                           ": its name does not say whether more is better; say --maximize or "
                           "--minimize");
  }
  plan.maximize = options.maximize || (!options.minimize && known.value_or(false));
}

void finish(const sweep::SweepResult& result, CommandContext& context) {
  std::cout << result.json << std::endl;
  context.exit_code = result.exit_code;
}

void run_task(Options& options, CommandContext& context) {
  if (!options.job.empty() || !options.vary.empty() || !options.sweep.plan.overrides.empty() ||
      !options.sweep.plan.train_arguments.empty()) {
    throw invalid_argument("--task ", options.task,
                           ": the sweep in this folder says what to do; expected no job and "
                           "nothing to vary or to set");
  }
  options.sweep.folder = options.task;
  outlive_readers();
  finish(sweep::run_task(options.sweep, context.tables.schema), context);
}

void run(Options& options, const CLI::App& train, CommandContext& context) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  if (!options.task.empty()) return run_task(options, context);
  if (options.job.empty()) throw invalid_argument("sweep: expected a job file");
  sweep::Plan& plan = options.sweep.plan;
  plan.search = search_of(options.search);
  for (const std::string& argument : plan.train_arguments) check_train_argument(train, argument);
  for (size_t i = 0; i < plan.train_arguments.size(); ++i) {
    const std::string& argument = plan.train_arguments[i];
    options.sweep.on_gpu |=
        argument == "--device=gpu" ||
        (i > 0 && plan.train_arguments[i - 1] == "--device" && argument == "gpu");
  }
  const bool is_asha = plan.search == sweep::Search::kAsha;
  for (const auto& [value, name] : {std::pair(&options.min_epochs, "--min-epochs"),
                                    std::pair(&options.reduction, "--reduction")}) {
    if (*value && !is_asha) throw invalid_argument(name, ": is of --search asha");
  }
  if (plan.points && plan.search != sweep::Search::kGrid) {
    throw invalid_argument("--points: is of --search grid");
  }
  plan.min_epochs = options.min_epochs.value_or(1);
  plan.reduction = options.reduction.value_or(4);
  plan.trials = options.trials.value_or(plan.search == sweep::Search::kGrid ? 0 : 20);
  set_direction(options, plan);
  for (const std::string& text : options.vary) {
    plan.parameters.push_back(sweep::parse_parameter(text, "--vary "));
  }
  for (const std::string& path : options.space_files) {
    for (sweep::Parameter& parameter : sweep::read_space_file(path)) {
      plan.parameters.push_back(std::move(parameter));
    }
  }
  if (plan.parameters.empty()) {
    throw invalid_argument(
        "expected what to vary, e.g. --vary "
        "'optimizer.learning_rate=log(1e-4,1e-1)'");
  }
  plan.job_path = options.job;
  plan.job_text = data::read_text(options.job, kMaxBytes, "a job file");
  outlive_readers();
  finish(sweep::sweep(options.sweep, context.tables.schema), context);
}

}  // namespace

void add_sweep_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "sweep", "Train a job with many settings of its fields, and find the best");
  command->footer(kFooter);
  command->allow_extras();
  auto options = std::make_shared<Options>();
  sweep::SweepOptions& own = options->sweep;
  command->add_option("JOB", options->job, "Job file, of which each trial is a variation");
  command->add_option("--vary", options->vary, "A field of the job and the values that it may have")
      ->type_name("PATH=VALUES")
      ->allow_extra_args(false);
  command->add_option("--space", options->space_files, "A file of such lines; # begins a comment")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command
      ->add_option("--search", options->search, "How the space is searched: grid, random or asha")
      ->check(CLI::IsMember({"grid", "random", "asha"}))
      ->capture_default_str();
  command
      ->add_option("--trials", options->trials,
                   "How many (default 20); a grid has all. Later more may be asked for")
      ->check(CLI::Range(int64_t{1}, sweep::kMaxTrials));
  command->add_option("--points", own.plan.points, "Grid: so many values of each range")
      ->check(CLI::Range(int64_t{1}, sweep::kMaxTrials));
  command->add_option("--seed", own.plan.seed, "Of the trials' settings")->capture_default_str();
  command
      ->add_option("--metric", own.plan.metric,
                   "By which column of log.csv trials are compared, at their last epoch")
      ->capture_default_str();
  CLI::Option* const maximize = command->add_flag(
      "--maximize", options->maximize, "More of the metric is better (else as its name says)");
  command->add_flag("--minimize", options->minimize, "Less of the metric is better")
      ->excludes(maximize);
  command
      ->add_option("--min-epochs", options->min_epochs,
                   "ASHA: epochs after which trials are first compared (default 1)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--reduction", options->reduction,
                   "ASHA: one of so many goes on at each comparison, for so many times the epochs "
                   "(default 4)")
      ->check(CLI::Range(int64_t{2}, int64_t{1000}));
  command
      ->add_option("--jobs", own.jobs, "Trials at once (else one for each core, or one on a GPU)")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--threads", own.threads,
                   "Compute threads of a trial (else its share of the cores)")
      ->check(CLI::Range(1, 1024));
  command->add_flag_callback(
      "--no-affinity", [options] { options->sweep.pin = false; },
      "Do not tie each trial to its share of the cores");
  command
      ->add_option("--retries", own.retries,
                   "How often a trial that a signal killed, or that exits with 75, goes on")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))
      ->capture_default_str();
  command->add_option("--set", own.plan.overrides, "Change a field of the job, for all trials")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--output-dir", own.folder,
                   "Folder of the sweep (else the job's output_dir with -sweep behind it)")
      ->check(printable_path);
  command->add_option("--grace", own.grace_s, "Seconds from asking trials to end to killing them")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  CLI::Option* const slurm = command->add_flag(
      "--slurm", own.slurm.submit,
      "Submit an array job to Slurm, whose tasks (--jobs, 8 by default) run the trials from the "
      "shared folder; later the same command says what they found");
  command
      ->add_option("--sbatch", own.slurm.sbatch, "More options of sbatch: --sbatch=--partition=cpu")
      ->type_name("OPTION")
      ->allow_extra_args(false)
      ->needs(slurm);
  command->add_flag("--wait", own.slurm.wait, "With --slurm: until the array has ended")
      ->needs(slurm);
  command
      ->add_option("--task", options->task,
                   "Be a task of such an array: run trials of the sweep in this folder until none "
                   "is left")
      ->type_name("DIR")
      ->excludes(slurm);
  command->add_flag("--quiet", own.quiet, "No progress and no table on standard error");
  const CLI::App* const train = app.get_subcommand("train");
  command->callback([command, options, train, &context] {
    options->sweep.plan.train_arguments = command->remaining();
    run(*options, *train, context);
  });
}

}  // namespace trireme
