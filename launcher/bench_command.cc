#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

#include "benchmarks/allreduce_bench.h"
#include "benchmarks/bench_models.h"
#include "benchmarks/data_bench.h"
#include "benchmarks/eager_bench.h"
#include "benchmarks/load_bench.h"
#include "benchmarks/ops_bench.h"
#include "benchmarks/ps_bench.h"
#include "benchmarks/readers_bench.h"
#include "benchmarks/train_bench.h"
#include "core/base/error.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/collective/make_communicator.h"
#include "launcher/commands.h"
#include "launcher/launch_job.h"
#include "launcher/tls_options.h"

namespace trireme {
namespace {

// Starts the workers of a bench, which are this program again, as `trireme launch` would.
void start(LaunchOptions options, const std::string& bench, std::vector<std::string> arguments) {
  char folder[] = "/tmp/trireme-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) throw failed("no folder for logs can be made in /tmp");
  options.log_directory = folder;
  options.program = {std::filesystem::read_symlink("/proc/self/exe").string(), "bench", bench};
  options.program.insert(options.program.end(), arguments.begin(), arguments.end());
  const int code = launch(options);
  if (code != 0) throw failed("bench ", bench, ": the tasks failed; their logs are in ", folder);
  std::filesystem::remove_all(folder);
}

void start_workers(const TrainBenchOptions& bench, bool pin, const TlsSettings& tls) {
  std::vector<std::string> arguments;
  const auto add = [&](const std::string& name, const auto& value) {
    arguments.push_back(str_cat("--", name, "=", value));
  };
  add("model", bench.model);
  add("batch", bench.batch);
  add("threads", bench.threads);
  add("workers", bench.workers);
  add("steps", bench.steps);
  add("blocks", bench.blocks);
  add("warmup", bench.warmup);
  add("backend", bench.backend);
  add("compression", bench.compression);
  add("precision", bench.precision);
  add("device", bench.device);
  if (!bench.graphs) arguments.emplace_back("--no-graphs");
  add("bucket-mib", bench.bucket_mib);
  if (!bench.overlap) arguments.emplace_back("--no-overlap");
  if (!bench.data_dir.empty()) add("data-dir", bench.data_dir);
  if (bench.noise) arguments.emplace_back("--noise");
  add("side", bench.side);
  if (bench.profile) arguments.emplace_back("--profile");
  start({.workers = bench.workers, .threads = bench.threads, .pin = pin, .tls = tls}, "train",
        arguments);
}

void start_workers(const PsBenchOptions& bench, const TlsSettings& tls) {
  std::vector<std::string> arguments;
  const auto add = [&](const std::string& name, const auto& value) {
    arguments.push_back(str_cat("--", name, "=", value));
  };
  add("servers", bench.servers);
  add("workers", bench.workers);
  add("replicas", bench.replicas);
  add("keys", bench.keys);
  add("dim", bench.dim);
  add("optimizer", bench.optimizer);
  add("transport", bench.transport);
  add("distribution", bench.distribution);
  add("rows", bench.rows);
  add("row-type", bench.row_type);
  add("reps", bench.reps);
  add("blocks", bench.blocks);
  add("in-flight", bench.in_flight);
  // Servers and workers take turns: pinned, one's core would be idle while the other's works.
  start({.workers = bench.workers,
         .parameter_servers = bench.servers,
         .ps_replicas = bench.replicas,
         .pin = false,
         .tls = tls},
        "ps", arguments);
}

void add_train(CLI::App& bench) {
  struct Options {
    TrainBenchOptions bench;
    TlsSettings tls;
    bool pin = true;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      bench.add_subcommand("train", "Training throughput of a reference model, one JSON line");
  command->footer(
      "Example:\n  trireme bench train --model lenet --batch 128 --threads 2 --steps 100 --blocks "
      "5");
  command
      ->add_option("--model", options->bench.model,
                   "mlp, mlp_large, lenet, cifar_cnn, resnet20, resnet50 or dlrm")
      ->check(CLI::IsMember(bench_model_names()));
  command->add_option("--batch", options->bench.batch, "Examples a step")
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", options->bench.threads, "Compute threads")
      ->check(CLI::Range(1, 1024));
  command->add_option("--workers", options->bench.workers, "Processes, each with its own batch")
      ->check(CLI::Range(1, 1024));
  command->add_option("--backend", options->bench.backend, "Of collectives")
      ->check(CLI::IsMember(collective_backends()));
  command->add_option("--compression", options->bench.compression, "Of what is sent")
      ->check(CLI::IsMember({"none", "bf16", "f16", "top_k"}));
  command->add_option("--bucket-mib", options->bench.bucket_mib, "Size of gradient buckets; 0: one")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("!--no-overlap", options->bench.overlap,
                    "Send gradients when the backward pass is over");
  command->add_flag("!--no-affinity", options->pin, "Do not pin workers to cores");
  add_tls_options(*command, options->tls, true);
  command->add_option("--steps", options->bench.steps, "Steps of a timed block")
      ->check(CLI::PositiveNumber);
  command->add_option("--blocks", options->bench.blocks, "Timed blocks; the median counts")
      ->check(CLI::PositiveNumber);
  command->add_option("--warmup", options->bench.warmup, "Steps before the first block")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--precision", options->bench.precision, "f32, bf16 or f16: of the products")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  command->add_option("--device", options->bench.device, "cpu, gpu or reference")
      ->check(CLI::IsMember({"cpu", "gpu", "reference"}));
  command->add_flag("!--no-graphs", options->bench.graphs,
                    "On a GPU, launch each kernel instead of replaying a recorded step");
  command->add_option("--data-dir", options->bench.data_dir, "Folder with mnist/ and cifar10/");
  command->add_flag("--noise", options->bench.noise,
                    "Random pixels in place of MNIST and CIFAR-10: no file is needed");
  command->add_option("--side", options->bench.side, "Height and width of the images of resnet50")
      ->check(CLI::Range(32, 4096));
  command->add_flag("--profile", options->bench.profile,
                    "Also print the time of each op on standard error");
  command->callback([options] {
    const bool is_worker = process_environment().contains("TRIREME_RANK");
    if (options->bench.workers > 1 && !is_worker) {
      start_workers(options->bench, options->pin, options->tls);
    } else {
      bench_train(options->bench, std::cout, std::cerr);
    }
  });
}

void add_ops(CLI::App& bench) {
  auto options = std::make_shared<OpsBenchOptions>();
  CLI::App* command = bench.add_subcommand("ops", "Time of single ops, one JSON line each");
  command->footer("Example:\n  trireme bench ops --filter conv --threads 2");
  command->add_option("--filter", options->filter, "Only cases whose name contains this");
  command->add_option("--threads", options->threads, "Compute threads")->check(CLI::Range(1, 1024));
  command->add_option("--device", options->device, "cpu, gpu or reference")
      ->check(CLI::IsMember({"cpu", "gpu", "reference"}));
  command->add_option("--repetitions", options->repetitions, "Timed runs; the median counts")
      ->check(CLI::PositiveNumber);
  command->callback([options] { bench_ops(*options, std::cout); });
}

void add_eager(CLI::App& bench) {
  auto options = std::make_shared<EagerBenchOptions>();
  CLI::App* command = bench.add_subcommand(
      "eager", "What a value that computes at once costs beside its kernel, one JSON line a case");
  command->footer("Example:\n  trireme bench eager");
  command->add_option("--repetitions", options->repetitions, "Timed runs; the median counts")
      ->check(CLI::PositiveNumber);
  command->callback([options] { bench_eager(*options, std::cout); });
}

void add_allreduce(CLI::App& bench) {
  struct Options {
    AllreduceBenchOptions bench;
    std::string summation = "any";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "allreduce", "Time of an all-reduce of float32 among processes, one JSON line a size");
  command->footer(
      "Examples:\n"
      "  trireme bench allreduce --workers 2 --backend shm\n"
      "On each of two machines, I being 0 and 1:\n"
      "  trireme launch --nodes 2 --node-rank I --coordinator n0:29400 --secret-file key -- "
      "trireme "
      "bench allreduce --backend grpc");
  command->add_option("--workers", options->bench.workers, "Processes")->check(CLI::Range(1, 1024));
  command->add_option("--backend", options->bench.backend, "How the processes are joined")
      ->check(CLI::IsMember(allreduce_bench_backends()));
  add_tls_options(*command, options->bench.tls, true);
  command
      ->add_option("--bytes", options->bench.bytes,
                   "Only tensors of this size; 0: of 4 B to 64 MiB")
      ->check(CLI::Range(0, 1 << 30));
  command
      ->add_option("--summation", options->summation,
                   "any: the fastest order of adding; tree: the same for every backend")
      ->check(CLI::IsMember({"any", "tree"}));
  // For the processes that the command starts.
  command->add_option("--rank", options->bench.rank)->group("");
  command->add_option("--rendezvous", options->bench.folder)->group("");
  command->callback([options] {
    options->bench.tree = options->summation == "tree";
    options->bench.in_cluster = process_environment().contains("TRIREME_RANK");
    bench_allreduce(options->bench, std::cout);
  });
}

void add_ps(CLI::App& bench) {
  auto options = std::make_shared<PsBenchOptions>();
  auto tls = std::make_shared<TlsSettings>();
  CLI::App* command = bench.add_subcommand(
      "ps", "Rows a second pushed to and pulled from parameter servers, one JSON line");
  command->footer(
      "Example:\n  trireme bench ps --servers 1 --workers 1 --keys 100000 --dim 64 --optimizer sgd "
      "--transport shm");
  command->add_option("--servers", options->servers, "Processes that hold the table")
      ->check(CLI::Range(1, 64));
  command->add_option("--workers", options->workers, "Processes that push and pull")
      ->check(CLI::Range(1, 1024));
  command->add_option("--replicas", options->replicas, "Servers that have each row")
      ->check(CLI::Range(1, 2));
  command->add_option("--keys", options->keys, "Rows of the table")->check(CLI::PositiveNumber);
  command->add_option("--dim", options->dim, "Floats of a row")->check(CLI::PositiveNumber);
  command->add_option("--optimizer", options->optimizer, "What a push does to a row")
      ->check(CLI::IsMember(ps_bench_optimizers()));
  command->add_option("--transport", options->transport, "tcp or shm")
      ->check(CLI::IsMember({"tcp", "shm"}));
  command
      ->add_option("--distribution", options->distribution,
                   "all: a call names every key; uniform, zipf: it draws them anew")
      ->check(CLI::IsMember(ps_bench_distributions()));
  command
      ->add_option("--rows", options->rows,
                   "Keys that a call draws (uniform, zipf); 0: as many as there are")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--row-type", options->row_type, "What travels")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "int8"}));
  command->add_option("--reps", options->reps, "Calls of a timed block")
      ->check(CLI::PositiveNumber);
  command->add_option("--blocks", options->blocks, "Timed blocks; the median counts")
      ->check(CLI::PositiveNumber);
  command->add_option("--in-flight", options->in_flight, "Calls that are under way at a time")
      ->check(CLI::Range(1, 64));
  add_tls_options(*command, *tls, true);
  command->callback([options, tls] {
    if (process_environment().contains("TRIREME_RANK")) {
      bench_ps(*options, std::cout);
    } else {
      start_workers(*options, *tls);
    }
  });
}

void add_readers(CLI::App& bench) {
  auto options = std::make_shared<ReadersBenchOptions>();
  CLI::App* command = bench.add_subcommand(
      "readers", "How fast one thread reads records and pictures, one JSON line a case");
  command->footer("Example:\n  trireme bench readers --filter jpeg");
  command->add_option("--filter", options->filter, "Only cases whose name contains this");
  command->add_option("--repetitions", options->repetitions, "Timed runs; the median counts")
      ->check(CLI::PositiveNumber);
  command->add_option("--folder", options->folder,
                      "For some hundred MB of files, which are removed at the end");
  command->callback([options] { bench_readers(*options, std::cout); });
}

void add_load(CLI::App& bench) {
  auto options = std::make_shared<LoadBenchOptions>();
  CLI::App* command = bench.add_subcommand(
      "load", "How long it takes to load a model file, and how much memory, one JSON line");
  command->footer("Example:\n  trireme bench load exported/saved_model --predict");
  command->add_option("PATH", options->path, "A model file of any known format")->required();
  command->add_flag("--predict", options->predict,
                    "Also a prediction of one example, which touches every weight");
  command->callback([options] { bench_load(*options, std::cout); });
}

void add_data(CLI::App& bench, const CommandContext& context) {
  auto options = std::make_shared<DataBenchOptions>();
  options->tables = context.tables;
  CLI::App* command = bench.add_subcommand(
      "data", "Examples a second of each stage of an input pipeline, one JSON line a case");
  command->footer(
      "Examples:\n"
      "  trireme bench data examples/mnist_lenet.textproto --step\n"
      "  trireme bench data --threads 2");
  command->add_option("JOB", options->job,
                      "Job file whose training data are read; without it: cases that are built in");
  command->add_option("--set", options->overrides, "Change a field of the job: path=value")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command->add_option("--data-dir", options->data_dir,
                      "Folder in which the job's data are looked for (else $TRIREME_DATA_DIR, . "
                      "and data)");
  command->add_option("--seconds", options->seconds, "Time that each stage is read")
      ->check(CLI::Range(0.01, 3600.0));
  command
      ->add_option(
          "--threads", options->threads,
          "Threads that read the whole pipeline ahead; 0: the reader's own; -1: as many as "
          "make a difference")
      ->check(CLI::Range(-1, 1024));
  command->add_flag("--step", options->step,
                    "Also how many examples a second the training step takes");
  command
      ->add_option("--compute-threads", options->compute_threads,
                   "Of the training step; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command->callback([options] { bench_data(*options, std::cout); });
}

}  // namespace

void add_bench_command(CLI::App& app, CommandContext& context) {
  CLI::App* bench = app.add_subcommand("bench", "Measure: one JSON line a case on standard output");
  bench->require_subcommand(1);
  add_train(*bench);
  add_ops(*bench);
  add_eager(*bench);
  add_allreduce(*bench);
  add_ps(*bench);
  add_readers(*bench);
  add_load(*bench);
  add_data(*bench, context);
}

}  // namespace trireme
