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

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/data/cifar10.h"
#include "core/data/idx.h"
#include "core/graph/serialize.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"
#include "core/nn/step_function.h"
#include "core/runtime/built_in_kernels.h"
#include "distributed/strategy/strategy.h"
#include "worker/build_data.h"
#include "worker/cluster_runtime.h"

namespace trireme {
namespace {

using nn::Activation;

void add_dense(nn::Model& model, std::initializer_list<int64_t> hidden) {
  for (int64_t units : hidden)
    model.add<nn::Dense>({.units = units, .activation = Activation::kRelu});
  model.add<nn::Dense>({.units = 10});
}

// 784-128-64-10
void build_mlp(nn::Model& model) {
  model.add<nn::Flatten>();
  add_dense(model, {128, 64});
}

// 784-2048-2048-2048-10: 10 million parameters
void build_mlp_large(nn::Model& model) {
  model.add<nn::Flatten>();
  add_dense(model, {2048, 2048, 2048});
}

// 28×28 padded to 32×32, 6@5×5, pool, 16@5×5, pool, 120, 84, 10
void build_lenet(nn::Model& model) {
  model.add<nn::ZeroPad2D>({.top = 2, .bottom = 2, .left = 2, .right = 2});
  for (int64_t filters : {6, 16}) {
    model.add<nn::Conv2D>(
        {.filters = filters, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
    model.add<nn::MaxPool2D>();
  }
  model.add<nn::Flatten>();
  add_dense(model, {120, 84});
}

// 32@3×3, pool, dropout, 64@3×3, pool, dropout, 512, dropout, 10
void build_cifar_cnn(nn::Model& model) {
  for (int64_t filters : {32, 64}) {
    model.add<nn::Conv2D>(
        {.filters = filters, .padding = ops::Padding::kSame, .activation = Activation::kRelu});
    model.add<nn::MaxPool2D>();
    model.add<nn::Dropout>({.rate = 0.2});
  }
  model.add<nn::Flatten>();
  model.add<nn::Dense>({.units = 512, .activation = Activation::kRelu});
  model.add<nn::Dropout>({.rate = 0.5});
  model.add<nn::Dense>({.units = 10});
}

struct BenchModel {
  std::string_view name;
  void (*build)(nn::Model&);
  bool is_cifar;
  bool is_adam;
};
constexpr BenchModel kModels[] = {{"mlp", build_mlp, false, false},
                                  {"mlp_large", build_mlp_large, false, false},
                                  {"lenet", build_lenet, false, true},
                                  {"cifar_cnn", build_cifar_cnn, true, true}};

const BenchModel& find_model(const std::string& name) {
  for (const BenchModel& model : kModels) {
    if (model.name == name) return model;
  }
  throw invalid_argument("there is no bench model '", name, "'");
}

data::LabeledImages load(const BenchModel& model, const std::string& data_dir) {
  if (model.is_cifar) return data::cifar10(find_data("cifar10", data_dir), data::Split::kTrain);
  return data::mnist(find_data("mnist", data_dir), data::Split::kTrain);
}

std::shared_ptr<const nn::Optimizer> make_optimizer(const BenchModel& model) {
  if (model.is_adam) return std::make_shared<nn::Adam>(nn::constant_rate(1e-3));
  return std::make_shared<nn::Sgd>(nn::constant_rate(0.01));
}

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
  Strategy strategy;
  std::unique_ptr<ClusterRuntime> runtime;
  nn::StepShare share;

  explicit Workers(const TrainBenchOptions& options) : strategy(strategy_options(options)) {
    runtime = std::make_unique<ClusterRuntime>(resolve_cluster({}, process_environment()),
                                               ClusterOptions{.backend = options.backend}, slots);
  }

  static StrategyOptions strategy_options(const TrainBenchOptions& options) {
    StrategyOptions strategy{.kind = StrategyKind::kMultiWorker};
    strategy.bucket_bytes = static_cast<int64_t>(options.bucket_mib * (1 << 20));
    if (options.bucket_mib == 0) {
      strategy.bucket_bytes = strategy.first_bucket_bytes = int64_t{1} << 40;
    }
    if (options.compression == "bf16") strategy.compression = Compression::kBFloat16;
    if (options.compression == "f16") strategy.compression = Compression::kFloat16;
    if (options.compression == "top_k") strategy.compression = Compression::kTopK;
    return strategy;
  }
  nn::ModelOptions model_options(const TrainBenchOptions& options) const {
    auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
    register_collective_kernels(*kernels, slots);
    return {.name = options.model,
            .session = {.kernels = kernels, .profile = options.profile},
            .ops = distributed_op_table(),
            .precision = nn::precision_from_name(options.precision)};
  }
  void build_gradients(nn::TrainGraph& graph, bool overlap) const {
    strategy.build_gradients(graph);
    if (!overlap) send_after_backward(*graph.graph);
  }
  void join(const nn::Model& model, int rows) {
    const nn::TrainGraph& graph = model.train_graph();
    runtime->join({{"graph", std::to_string(graph_hash(*graph.graph))}}, 0);
    strategy.fill_share(rows, runtime->rank(), runtime->workers(), share);
  }
};

double one_decimal(double value) { return std::round(value * 10) / 10; }

}  // namespace

std::vector<std::string> train_bench_models() {
  std::vector<std::string> names;
  for (const BenchModel& model : kModels) names.emplace_back(model.name);
  return names;
}

void bench_train(const TrainBenchOptions& options, std::ostream& out, std::ostream& log) {
  const BenchModel& bench = find_model(options.model);
  set_compute_threads(options.threads);
  const data::LabeledImages images = load(bench, options.data_dir);
  std::optional<Workers> workers;
  if (options.workers > 1) workers.emplace(options);
  nn::Model model(workers
                      ? workers->model_options(options)
                      : nn::ModelOptions{.name = options.model,
                                         .session = {.profile = options.profile},
                                         .precision = nn::precision_from_name(options.precision)});
  bench.build(model);
  nn::CompileOptions compile{.optimizer = make_optimizer(bench),
                             .loss = nn::sparse_categorical_cross_entropy()};
  if (workers) {
    compile.build_gradients = [&](nn::TrainGraph& g) {
      workers->build_gradients(g, options.overlap);
    };
    compile.rewrite_updates = [&](nn::TrainGraph& g) { workers->strategy.rewrite_updates(g); };
  }
  model.compile(std::move(compile));
  const int rank = workers ? workers->runtime->spec().rank : 0;
  const int rows = options.batch * options.workers;
  const data::Dataset batches =
      images.dataset().shuffle(1).repeat().batch_part(rows, rank, options.workers);
  model.build_training(nn::batch_types(batches));
  if (workers) workers->join(model, rows);
  nn::StepFunction step_function(model.session(), model.train_graph());
  const double rate = model.compiled().optimizer->learning_rate(0);

  data::Iterator iterator = batches.iterator();
  data::Element batch;
  nn::StepInputs inputs{.learning_rate = rate};
  if (workers) inputs.shards = workers->share.shards;
  auto step = [&] {
    iterator.next(batch);
    step_function.run(batch, inputs);
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
  if (rank == 0) out << line.dump() << std::endl;
  if (rank == 0 && options.profile) print_profile(step_function.function(), log);
  if (workers) workers->runtime->leave();
}

}  // namespace trireme
