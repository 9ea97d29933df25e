#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "benchmarks/ops_bench.h"
#include "benchmarks/train_bench.h"
#include "core/base/error.h"
#include "launcher/commands.h"

namespace trireme {
namespace {

void add_train(CLI::App& bench) {
  struct Options {
    TrainBenchOptions bench;
    int workers = 1;
    std::string precision = "f32";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      bench.add_subcommand("train", "Training throughput of a reference model, one JSON line");
  command->footer(
      "Example:\n  trireme bench train --model lenet --batch 128 --threads 2 --steps 100 --blocks "
      "5");
  command->add_option("--model", options->bench.model, "mlp, mlp_large, lenet or cifar_cnn")
      ->check(CLI::IsMember(train_bench_models()));
  command->add_option("--batch", options->bench.batch, "Examples a step")
      ->check(CLI::PositiveNumber);
  command->add_option("--threads", options->bench.threads, "Compute threads")
      ->check(CLI::Range(1, 1024));
  command->add_option("--workers", options->workers, "Processes")->check(CLI::PositiveNumber);
  command->add_option("--steps", options->bench.steps, "Steps of a timed block")
      ->check(CLI::PositiveNumber);
  command->add_option("--blocks", options->bench.blocks, "Timed blocks; the median counts")
      ->check(CLI::PositiveNumber);
  command->add_option("--warmup", options->bench.warmup, "Steps before the first block")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--precision", options->precision, "f32")->check(CLI::IsMember({"f32"}));
  command->add_option("--data-dir", options->bench.data_dir, "Folder with mnist/ and cifar10/");
  command->add_flag("--profile", options->bench.profile,
                    "Also print the time of each op on standard error");
  command->callback([options] {
    if (options->workers > 1) {
      throw invalid_argument("bench train --workers ", options->workers,
                             ": this build trains with one worker");
    }
    bench_train(options->bench, std::cout, std::cerr);
  });
}

void add_ops(CLI::App& bench) {
  auto options = std::make_shared<OpsBenchOptions>();
  CLI::App* command = bench.add_subcommand("ops", "Time of single ops, one JSON line each");
  command->footer("Example:\n  trireme bench ops --filter conv --threads 2");
  command->add_option("--filter", options->filter, "Only cases whose name contains this");
  command->add_option("--threads", options->threads, "Compute threads")->check(CLI::Range(1, 1024));
  command->add_option("--device", options->device, "cpu or reference")
      ->check(CLI::IsMember({"cpu", "reference"}));
  command->add_option("--repetitions", options->repetitions, "Timed runs; the median counts")
      ->check(CLI::PositiveNumber);
  command->callback([options] { bench_ops(*options, std::cout); });
}

}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure: one JSON line a case on standard output");
  bench->require_subcommand(1);
  add_train(*bench);
  add_ops(*bench);
}

}  // namespace trireme
