// trireme train, evaluate and predict: one task over a job file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "distributed/strategy/strategies.h"
#include "launcher/commands.h"
#include "launcher/metrics_option.h"
#include "launcher/parameter_server_task.h"
#include "launcher/printable_path.h"
#include "launcher/standard_output.h"
#include "launcher/stop_signals.h"
#include "launcher/supervisor/ending_signals.h"
#include "launcher/tls_options.h"
#include "proto/job.pb.h"
#include "worker/cluster_runtime.h"
#include "worker/evaluator_task.h"
#include "worker/job_failure.h"
#include "worker/job_file.h"
#include "worker/rendezvous.h"
#include "worker/resume.h"
#include "worker/train_task.h"

namespace trireme {
namespace {

struct Options {
  std::string job;
  std::vector<std::string> overrides;
  std::string strategy;
  std::string precision;
  std::string device;
  std::optional<int> gpus, virtual_gpus;
  std::optional<int64_t> gpu_memory_limit_mib;
  std::optional<bool> gpu_memory_growth;
  bool soft_placement = false;
  std::string checkpoint;
  std::string input, output, format = "json";
  std::string output_dir;
  std::optional<int64_t> limit;
  GenerateOptions generate;
  TaskOptions task;

  JobFile read() const {
    std::vector<JobOption> options;
    const auto text = [&](const char* option, const char* path, const std::string& value) {
      if (!value.empty()) options.push_back({option, path, value});
    };
    text("--output-dir", "output_dir", output_dir);
    text("--precision", "precision", precision);
    text("--strategy", "strategy", strategy);
    text("--device", "device", device);
    if (gpus) text("--gpus", "gpu.count", str_cat(*gpus));
    if (virtual_gpus) text("--virtual-gpus", "gpu.virtual", str_cat(*virtual_gpus));
    if (gpu_memory_limit_mib) {
      text("--gpu-memory-limit", "gpu.memory_limit_mib", str_cat(*gpu_memory_limit_mib));
    }
    if (gpu_memory_growth) {
      text("--gpu-memory-growth", "gpu.take_all_memory", *gpu_memory_growth ? "false" : "true");
    }
    if (soft_placement) text("--soft-placement", "soft_placement", "true");
    return JobFile::read(job, overrides, options, task.tables.schema);
  }
};

std::shared_ptr<Options> add_common(CLI::App& command, const CommandContext& context) {
  auto options = std::make_shared<Options>();
  options->task.tables = context.tables;
  command
      .add_option("JOB", options->job,
                  "Job file (protobuf text; trireme describe says what may be in it)")
      ->required();
  command
      .add_option("--set", options->overrides,
                  "Change a field of the job: path=value. A string is taken as it stands; "
                  "metrics=[ACCURACY,AUC] sets a list, += adds to one; optimizer={adam {}} sets a "
                  "message")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command.add_option("--output-dir", options->output_dir,
                     "Folder of checkpoints and logs (the job's output_dir)");
  command.add_option("--precision", options->precision,
                     "float32, mixed_bfloat16 or mixed_float16, also f32, bf16 and f16 (the job's "
                     "precision)");
  command.add_option("--data-dir", options->task.data_dir,
                     "Folder in which the job's data are looked for (else $TRIREME_DATA_DIR, . "
                     "and data)");
  command.add_option("--threads", options->task.threads, "Compute threads; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command.add_option("--device", options->device,
                     "cpu, gpu, or reference (slow and obvious) (the job's device)");
  command.add_option("--gpus", options->gpus, "How many GPUs; 0: all (the job's gpu.count)")
      ->check(CLI::Range(0, 64));
  command
      .add_option("--virtual-gpus", options->virtual_gpus,
                  "Devices on each GPU, which share it (the job's gpu.virtual)")
      ->check(CLI::Range(1, 64));
  command
      .add_option("--gpu-memory-limit", options->gpu_memory_limit_mib,
                  "Memory of each GPU device; 0: what is free (the job's gpu.memory_limit_mib)")
      ->type_name("MIB")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--gpu-memory-growth,!--no-gpu-memory-growth", options->gpu_memory_growth,
                   "Take memory as it is needed (the default), or all of the limit at the start");
  command.add_flag("--soft-placement", options->soft_placement,
                   "Ops that have no kernel for the device run on the CPU");
  command.add_option("--cpu-devices", options->task.cpu_devices, "Virtual CPU devices")
      ->check(CLI::Range(1, 64));
  command.add_flag("--log-device-placement", options->task.log_device_placement,
                   "Print where each op runs");
  command.add_flag("--quiet", options->task.quiet, "No progress on standard error");
  return options;
}

void print(const TaskResult& result) {
  if (!result.json.empty()) std::cout << result.json << std::endl;
}

}  // namespace

std::vector<std::string> join_resume_values(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] != "--resume") continue;
    const std::string value = i + 1 < words.size() ? words[i + 1] : "";
    std::error_code error;
    const bool is_job = std::filesystem::is_regular_file(value, error) &&
                        !value.ends_with(".index") && value.find(".data-") == std::string::npos;
    const bool has_value = !value.empty() && value[0] != '-' && !is_job;
    words[i] += str_cat("=", has_value ? value : kResumeNewest);
    if (has_value) words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
  return words;
}

void add_train_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("train", "Train the model of a job file");
  command->footer(
      "Examples:\n"
      "  trireme train examples/digits_lenet.textproto\n"
      "  trireme train examples/mnist_mlp.textproto --set epochs=1 --set "
      "optimizer.learning_rate=0.05\n"
      "  trireme train examples/cifar10_cnn.textproto --resume\n"
      "  trireme train examples/cifar10_cnn.textproto --resume 1564\n"
      "  mpirun -np 2 trireme train examples/mnist_lenet.textproto\n"
      "  srun -N2 -n4 trireme train examples/mnist_lenet.textproto\n"
      "  mpirun -np 4 trireme train examples/mnist_lenet.textproto --ps 2");
  auto options = add_common(*command, context);
  command->add_option("--strategy", options->strategy, "auto, or one of " + strategy_names());
  command
      ->add_option(
          "--resume", options->task.resume,
          "Go on from a checkpoint: the newest of the output folder, that of a STEP, a PATH "
          "(folder, prefix or .index file), or `auto`: the newest of this job, else from "
          "the beginning")
      ->type_name("[STEP|PATH|auto]");
  command->add_flag("--overwrite", options->task.overwrite,
                    "Begin anew in a folder that holds an earlier training: its log.csv and "
                    "checkpoints are removed, and nothing else");
  command
      ->add_option("--stop-after-epochs", options->task.stop_after_epochs,
                   "End after so many epochs of the training, resumed ones too, with a checkpoint "
                   "to go on from; schedules stay those of all its epochs")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--timeline", options->task.timeline,
                   "Folder for Chrome traces: one a rank, and all of them on one clock")
      ->type_name("DIR")
      ->check(printable_path);
  command->add_option("--rank", options->task.cluster.rank, "Which worker this is, from 0")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--world-size", options->task.cluster.world_size, "How many workers there are")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--parameter-servers,--ps", options->task.cluster.parameter_servers,
                   "How many parameter servers the job has; under mpirun, srun and torchrun the "
                   "last so many tasks serve")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--ps-replicas", options->task.cluster.ps_replicas,
                   "Servers that hold each row: with 2, any one may die and nothing is lost")
      ->check(CLI::Range(1, 2));
  command
      ->add_option("--coordinator", options->task.cluster.coordinator,
                   "Where the workers meet, in rank 0 (else from the environment; see `trireme "
                   "cluster`)")
      ->type_name("HOST:PORT");
  command
      ->add_option("--listen", options->task.cluster.listen,
                   "Address of this host that its servers bind and peers connect to")
      ->type_name("ADDRESS");
  add_tls_options(*command, options->task.cluster.tls);
  add_metrics_option(*command, "--metrics", kMetricsHelp, options->task.metrics);
  command
      ->add_option("--save-graph", options->task.save_graph,
                   "Write the training graph to this file (*.graph)")
      ->check(printable_path);
  command->callback([options, &context] {
    options->task.stop = &take_stop_signals();
    outlive_readers();
    options->task.end_early = [] {
      std::fprintf(stderr, "trireme: stopped before the first step; there is nothing to save\n");
      std::_Exit(exit_code_after(stop_signal()));
    };
    options->task.stop_signal = stop_signal;
    options->task.ask_to_stop = ask_to_stop;
    const ClusterSpec spec = resolve_cluster(options->task.cluster, process_environment());
    require_secret(spec);  // before data are read
    if (spec.task_type == TaskType::kParameterServer) {
      const JobFile file = options->read();
      options->task.cluster.job_tls = tls_of(file.job().distributed());
      run_parameter_server(resolve_cluster(options->task.cluster, process_environment()),
                           {.threads = options->task.threads,
                            .metrics = options->task.metrics,
                            .join_timeout_s = file.job().distributed().has_join_timeout_s()
                                                  ? file.job().distributed().join_timeout_s()
                                                  : 0,
                            .ops = context.tables.ops},
                           *options->task.stop);
      if (stop_signal() != 0) context.exit_code = exit_code_after(stop_signal());
      return;
    }
    // `trireme launch` copies what rank 0 prints: it knows whether that ends on a terminal.
    if (const char* progress = std::getenv("TRIREME_PROGRESS")) {
      options->task.progress_bar = std::string_view(progress) == "bar";
    }
    std::optional<JobFile> file;
    try {
      file.emplace(options->read());
      options->task.cluster.job_tls = tls_of(file->job().distributed());
    } catch (const Error& error) {
      tell_failed_start(options->task.cluster, {}, error);
      throw;
    }
    const TaskResult result = spec.task_type == TaskType::kEvaluator
                                  ? evaluate_each_checkpoint(*file, options->task, print)
                                  : train(*file, options->task);
    print(result);
    if (result.stopped) {
      std::fprintf(stderr, "trireme: %s\n", result.where.c_str());
      context.exit_code = exit_code_after(result.stop_signal);
    }
  });
}

void add_evaluate_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "evaluate", "Loss and metrics of a checkpoint on the validation data, or on a table");
  command->footer(
      "Examples:\n"
      "  trireme evaluate examples/digits_lenet.textproto --checkpoint "
      "runs/digits_lenet/checkpoints\n"
      "  trireme evaluate examples/csv_regression.textproto --checkpoint "
      "runs/csv_regression/checkpoints --input houses.csv\n"
      "Columns are scaled as the checkpoint says; loss and errors of a label that was scaled are "
      "in "
      "its own units.");
  auto options = add_common(*command, context);
  command
      ->add_option("--checkpoint", options->checkpoint, "Checkpoint: folder, prefix or .index file")
      ->required();
  command
      ->add_option("--input", options->input,
                   "A table (CSV) with labels, all of its rows, instead of the validation data")
      ->type_name("FILE");
  command->callback([options] {
    end_at_stop_signals();
    print(evaluate(options->read(), options->task, options->checkpoint, options->input));
  });
}

void add_predict_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "predict", "Predictions for a file or for the validation data, one line each");
  command->footer(
      "Examples:\n"
      "  trireme predict examples/digits_lenet.textproto --checkpoint "
      "runs/digits_lenet/checkpoints --limit 5\n"
      "  trireme predict examples/csv_regression.textproto --checkpoint "
      "runs/csv_regression/checkpoints --input houses.csv --output prices.jsonl\n"
      "  trireme predict examples/char_lstm.textproto --checkpoint "
      "runs/char_lstm/checkpoints --generate 200 --prompt \"ROMEO:\"\n"
      "A file has the format of the job's data, with labels or without: a table (csv), IDX images "
      "(mnist, digits), CIFAR-10's binary format, lines of text (reviews), a click log (criteo).\n"
      "Each line has \"prediction\": the scores of classes (logits), or a number in the label's "
      "own "
      "units; with classes also \"probabilities\", \"class\" and, where it has one, "
      "\"class_name\".");
  auto options = add_common(*command, context);
  command
      ->add_option("--checkpoint", options->checkpoint, "Checkpoint: folder, prefix or .index file")
      ->required();
  command->add_option("--input", options->input, "Predict the examples of this file")
      ->type_name("FILE");
  command
      ->add_option("--output", options->output,
                   "Write to this file, which appears when all is done, not to standard output")
      ->type_name("FILE");
  command->add_option("--format", options->format, "json: a line of JSON an example; or csv")
      ->check(CLI::IsMember({"json", "csv"}));
  command
      ->add_option("--limit", options->limit,
                   "How many examples; 0: all (the default with --input, else 10)")
      ->check(CLI::NonNegativeNumber);
  CLI::Option* const characters =
      command
          ->add_option("--generate", options->generate.characters,
                       "Write so many characters of text, of a model of data { characters }")
          ->check(CLI::PositiveNumber);
  for (const char* other : {"--input", "--output", "--limit", "--format"}) {
    characters->excludes(command->get_option(other));
  }
  command
      ->add_option("--prompt", options->generate.prompt,
                   "What stands before the text; a line end by default")
      ->needs(characters);
  command
      ->add_option("--temperature", options->generate.temperature,
                   "Of drawing a character: above 1 more at random, below less, 0 always the best")
      ->check(CLI::NonNegativeNumber)
      ->needs(characters);
  command
      ->add_option("--top-k", options->generate.top_k,
                   "Draw among so many of the best characters; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->needs(characters);
  command->add_option("--seed", options->generate.seed, "Of what is drawn")->needs(characters);
  command->callback([options] {
    end_at_stop_signals();
    if (options->generate.characters > 0) {
      generate(options->read(), options->task, options->checkpoint, options->generate, std::cout);
      return;
    }
    const PredictOptions wanted{.input = options->input,
                                .output = options->output,
                                .limit = options->limit.value_or(options->input.empty() ? 10 : 0),
                                .csv = options->format == "csv"};
    predict(options->read(), options->task, options->checkpoint, wanted, std::cout);
  });
}

}  // namespace trireme
