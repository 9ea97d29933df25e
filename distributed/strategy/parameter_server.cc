// parameter_server: variables and the rows of embeddings are on parameter servers. A step pulls
// what it reads and pushes its gradients; workers do not talk to each other.
#include <algorithm>
#include <limits>

#include "core/base/batch_share.h"
#include "core/base/error.h"
#include "core/ops/ops.h"
#include "distributed/strategy/gradient_builder.h"
#include "distributed/strategy/server_traffic.h"
#include "distributed/strategy/strategies.h"
#include "distributed/strategy/votes_table.h"

namespace trireme {
namespace {

// Everything that the layers keep, then the votes.
std::vector<BucketItem> tables_of_variables(const nn::TrainGraph& graph) {
  std::vector<BucketItem> tables;
  for (const nn::VariableSpec& spec : graph.variables->all()) {
    if (spec.role != nn::VariableRole::kSlot) tables.push_back({spec.value, spec.name});
  }
  tables.push_back({ops::reshape(graph.vote, {1}), kVotesTable});
  return tables;
}

// Loss and metrics become those of this worker's own examples. Each worker moves the tables of
// moving averages by its share of the way, so that all together go as far as one process would:
// returns how far, by table.
std::vector<BucketItem> set_local_results(nn::TrainGraph& graph, const GradientBuilder& builder) {
  const Graph::Scope scope(*graph.graph, "results", builder.device(0));
  const std::vector<ShardForward>& shards = builder.shards();
  std::vector<Value> weights;
  for (const ShardForward& shard : shards) weights.push_back(shard.weight);
  const Value some = ops::scalar(*graph.graph, DType::kFloat32, std::numeric_limits<float>::min());
  // A worker with no row of a short batch has a weight of 0.
  const Value whole = ops::maximum(tree_sum(std::move(weights)), some);
  const auto mean = [&](auto member) {
    std::vector<Value> parts;
    for (const ShardForward& shard : shards) parts.push_back(member(shard) * shard.weight);
    return tree_sum(std::move(parts)) / whole;
  };
  std::vector<Value> losses;
  for (const ShardForward& shard : shards) losses.push_back(shard.loss * shard.loss_share);
  graph.forward.loss = tree_sum(std::move(losses)) / whole;
  for (size_t m = 0; m < graph.forward.metrics.size(); ++m) {
    nn::MetricValue& metric = graph.forward.metrics[m];
    metric.value = metric.quantity.kind == nn::FigureKind::kMean
                       ? mean([m](const ShardForward& s) { return s.metrics[m].value; })
                       : builder.sum_of_metric(m, 0, static_cast<int>(shards.size()));
  }
  std::vector<BucketItem> moves;
  for (size_t m = 0; m < graph.forward.moving_averages.size(); ++m) {
    const nn::MovingAverage& average = graph.forward.moving_averages[m];
    const Value rate = ops::scalar(*graph.graph, DType::kFloat32, 1 - average.momentum);
    std::vector<Value> parts;
    for (const ShardForward& shard : shards) {
      const auto read = shard.variables.find(average.variable);
      const Value now = read == shard.variables.end() ? average.variable : read->second;
      parts.push_back((shard.statistics[m] - now) * (shard.weight * rate));
    }
    moves.push_back({tree_sum(std::move(parts)), variable_name(average.variable)});
  }
  graph.forward.moving_averages.clear();
  return moves;
}

// Servers know pieces of a variable only.
void refuse_constraints(const nn::TrainGraph& graph) {
  for (const nn::VariableSpec& spec : graph.variables->all()) {
    if (!spec.constraint) continue;
    throw invalid_argument("the constraint of \"", spec.name,
                           "\" needs the whole variable, which parameter servers keep in pieces; "
                           "use the strategy HYBRID or MULTI_WORKER, or leave it out");
  }
}

class ParameterServer : public Strategy {
 public:
  explicit ParameterServer(StrategyOptions given)
      : Strategy(kParameterServerStrategy, std::move(given)) {
    const std::string_view wrong = options().compression != Compression::kNone ? "compression"
                                   : options().deterministic                   ? "deterministic"
                                   : options().sync_batch_norm                 ? "sync_batch_norm"
                                                                               : "";
    if (!wrong.empty()) {
      throw invalid_argument("strategy parameter_server: ", wrong,
                             " is of all-reduce, which it has not; use multi_worker or hybrid");
    }
    require_one_device();
  }

  int ranks() const override { return devices(); }
  bool communicates() const override { return false; }

  void build_gradients(nn::TrainGraph& graph) const override {
    refuse_loss_scale(graph, "parameter servers");
    refuse_update_options(graph);
    refuse_constraints(graph);
    GradientBuilder builder(graph, *this);
    ServerTraffic servers(graph);
    const std::vector<Value> values =
        servers.pull(builder.shard_builders(), tables_of_variables(graph));
    graph.votes = ops::reshape(values.back(), {});
    builder.build_shards();
    std::vector<BucketItem> late = set_local_results(graph, builder);
    builder.add_updates({.rows = &servers, .are_remote = true});
    std::vector<BucketItem> gradients;
    for (const nn::Update& update : graph.updates) {
      gradients.push_back({update.gradient.values, variable_name(update.variable)});
    }
    late.push_back({ops::reshape(graph.vote, {1}), kVotesTable});
    servers.push(gradients, options().first_bucket_bytes, options().bucket_bytes, late, {});
  }

  // A worker's loss is that of its own examples.
  void fill_share(int64_t rows, int worker, int workers, nn::StepShare& share) const override {
    Strategy::fill_share(rows, worker, workers, share);
    share.examples = batch_share(rows, worker, workers).size();
  }
};

}  // namespace

constinit const StrategyDef kParameterServerStrategy = {
    .name = "parameter_server",
    .spans_workers = true,
    .uses_servers = true,
    .variables_on_servers = true,
    .make = [](StrategyOptions options) -> std::unique_ptr<Strategy> {
      return std::make_unique<ParameterServer>(std::move(options));
    }};

}  // namespace trireme
