#include "benchmarks/train_bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "benchmarks/bench_models.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/kernel.h"
#include "core/graph/serialize.h"
#include "core/nn/model.h"
#include "core/nn/step_function.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/device_options.h"
#include "distributed/strategy/strategies.h"
#include "worker/cluster_runtime.h"
#include "worker/program_tables.h"

namespace trireme {
namespace {

// Time by op, the most expensive first. Every node ran alone, so that overlap does not show.
void print_profile(const Function& function, std::ostream& out) {
  struct Row {
    double us = 0;
    int64_t nodes = 0;
  };
  std::map<std::string, Row> by_op;
  double total = 0;
  int64_t runs = 1;
  std::vector<NodeTime> nodes = function.profile();
  for (const NodeTime& node : nodes) {
    by_op[node.op].us += node.total_us;
    ++by_op[node.op].nodes;
    total += node.total_us;
    runs = std::max(runs, node.runs);
  }
  std::vector<std::pair<std::string, Row>> rows(by_op.begin(), by_op.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second.us > b.second.us; });
  std::ranges::sort(nodes, [](const auto& a, const auto& b) { return a.total_us > b.total_us; });
  out << std::fixed << std::setprecision(1)
      << "op                               nodes    us/step   share\n";
  const auto steps = static_cast<double>(runs);
  for (const auto& [op, row] : rows) {
    out << std::left << std::setw(32) << op << std::right << std::setw(6) << row.nodes
        << std::setw(11) << row.us / steps << std::setw(7) << 100 * row.us / total << "%\n";
  }
  out << "the most expensive nodes:\n";
  for (size_t i = 0; i < std::min<size_t>(nodes.size(), 15); ++i) {
    out << std::setw(11) << nodes[i].total_us / steps << " us  " << nodes[i].op << " '"
        << nodes[i].name << "'\n";
  }
}

// Buckets are sent in their order, so it is enough that the first waits for all gradients.
void send_after_backward(const Graph& graph) {
  Node* first = nullptr;
  std::vector<Node*> gradients;
  for (const auto& node : graph.nodes()) {
    if (!node->op().traits.is_communication ||
        !node->attribute<std::string>("collective").starts_with("bucket")) {
      continue;
    }
    if (first == nullptr) first = node.get();
    for (const Value& gradient : node->inputs()) gradients.push_back(gradient.node);
  }
  for (Node* gradient : gradients) first->add_control_input(gradient);
}

// What turns a training of one process into that of several workers.
struct Workers {
  std::shared_ptr<CommunicatorSlots> slots = std::make_shared<CommunicatorSlots>();
  std::unique_ptr<Strategy> strategy;
  std::unique_ptr<ClusterRuntime> runtime;
  nn::StepShare share;

  Workers(const TrainBenchOptions& options, const ClusterSpec& spec, Device& device)
      : strategy(kMultiWorkerStrategy.make(strategy_options(options))) {
    ClusterOptions cluster{.backend = options.backend};
    if (!device.host_memory()) cluster.gpu = &device;
    runtime = std::make_unique<ClusterRuntime>(spec, cluster, slots);
  }

  static StrategyOptions strategy_options(const TrainBenchOptions& options) {
    StrategyOptions strategy;
    strategy.bucket_bytes = static_cast<int64_t>(options.bucket_mib * (1 << 20));
    if (options.bucket_mib == 0) {
      strategy.bucket_bytes = strategy.first_bucket_bytes = int64_t{1} << 40;
    }
    if (options.compression == "bf16") strategy.compression = Compression::kBFloat16;
    if (options.compression == "f16") strategy.compression = Compression::kFloat16;
    if (options.compression == "top_k") strategy.compression = Compression::kTopK;
    return strategy;
  }
  void extend(nn::ModelOptions& model) const {
    auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
    register_collective_kernels(*kernels, slots);
    model.session.kernels = kernels;
    model.ops = core_tables().ops;
  }
  void build_gradients(nn::TrainGraph& graph, bool overlap) const {
    strategy->build_gradients(graph);
    if (!overlap) send_after_backward(*graph.graph);
  }
  void join(const nn::Model& model, int rows) {
    const nn::TrainGraph& graph = model.train_graph();
    runtime->join({{"graph", std::to_string(graph_hash(*graph.graph))}}, 0);
    strategy->fill_share(rows, runtime->rank(), runtime->workers(), share);
  }
};

double one_decimal(double value) { return std::round(value * 10) / 10; }

}  // namespace

void bench_train(const TrainBenchOptions& options, std::ostream& out, std::ostream& log) {
  const BenchModel& bench = find_bench_model(options.model);
  set_compute_threads(options.threads);
  const data::Dataset examples =
      bench.examples({.data_dir = options.data_dir, .noise = options.noise, .side = options.side});
  const ClusterSpec spec =
      options.workers > 1 ? resolve_cluster({}, process_environment()) : ClusterSpec{};
  const auto devices = make_devices(
      {.kind = options.device, .gpu = {.count = 1, .first = std::max(0, spec.local_rank)}});
  Device& device = *devices->all().front();
  nn::ModelOptions model_options{
      .name = options.model,
      .session = {.devices = devices, .profile = options.profile, .record = options.graphs},
      .precision = nn::precision_from_name(options.precision)};
  std::optional<Workers> workers;
  if (options.workers > 1) {
    workers.emplace(options, spec, device);
    workers->extend(model_options);
  }
  nn::Model model(std::move(model_options));
  bench.build(model);
  nn::CompileOptions compile{.optimizer = bench.optimizer(), .loss = bench.loss()};
  if (workers) {
    compile.build_gradients = [&](nn::TrainGraph& g) {
      workers->build_gradients(g, options.overlap);
    };
    compile.rewrite_updates = [&](nn::TrainGraph& g) { workers->strategy->rewrite_updates(g); };
  }
  model.compile(std::move(compile));
  const int rank = workers ? workers->runtime->spec().rank : 0;
  const int rows = options.batch * options.workers;
  data::Dataset batches = examples.shuffle(1).repeat().batch_part(rows, rank, options.workers);
  // A GPU would wait for it; on the CPU the thread would take a core from the step.
  if (!device.host_memory()) batches = batches.prefetch(2);
  model.build_training(nn::batch_types(batches));
  if (workers) workers->join(model, rows);
  nn::StepFunction step_function(model.session(), model.train_graph());
  const double rate = model.compiled().optimizer->learning_rate(0);

  data::Iterator iterator = batches.iterator();
  data::Element batch, ahead;
  const bool copies_ahead = model.session().copies_ahead();
  if (copies_ahead) iterator.next(ahead);
  nn::StepInputs inputs{.learning_rate = rate};
  if (workers) inputs.shards = workers->share.shards;
  auto step = [&] {
    if (copies_ahead) std::swap(batch, ahead);
    iterator.next(copies_ahead ? ahead : batch);
    step_function.run(batch, inputs, copies_ahead ? &ahead : nullptr, inputs.step > 0);
    ++inputs.step;
  };
  for (int i = 0; i < options.warmup; ++i) step();
  std::vector<double> rates;
  for (int block = 0; block < options.blocks; ++block) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < options.steps; ++i) step();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    rates.push_back(static_cast<double>(options.steps) * rows / elapsed.count());
  }
  std::ranges::sort(rates);
  const double median = (rates[(rates.size() - 1) / 2] + rates[rates.size() / 2]) / 2;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json line = {{"peer", "trireme"},
                                 {"model", bench.name},
                                 {"workers", options.workers},
                                 {"threads", options.threads},
                                 {"batch_per_worker", options.batch},
                                 {"samples_per_s", one_decimal(median)},
                                 {"min", one_decimal(rates.front())},
                                 {"max", one_decimal(rates.back())},
                                 {"loss", std::round(step_function.values()[0] * 1e4) / 1e4},
                                 {"rss_mib", usage.ru_maxrss / 1024}};
  if (options.precision != "f32") line["precision"] = options.precision;
  if (options.device != "cpu") line["device"] = options.device;
  if (!device.host_memory()) line["gpu_mib"] = device.memory_use().peak >> 20;
  if (rank == 0) out << line.dump() << std::endl;
  if (rank == 0 && options.profile) print_profile(step_function.function(), log);
  if (workers) workers->runtime->leave();
}

}  // namespace trireme
