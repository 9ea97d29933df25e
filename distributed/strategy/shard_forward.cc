#include "distributed/strategy/shard_forward.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/cross_batch_context.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "distributed/strategy/collective_ops.h"

namespace trireme {
namespace {

// The nodes that `outputs` need, in the order in which they were made.
std::vector<Node*> nodes_for(const Graph& graph, const std::vector<Value>& outputs) {
  const std::vector<bool> needed = needed_nodes(graph, outputs, true);
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) {
    if (needed[static_cast<size_t>(node->id())]) nodes.push_back(node.get());
  }
  return nodes;
}

}  // namespace

ShardBuilder::ShardBuilder(nn::TrainGraph& graph, const ShardOptions& options)
    : train_(graph),
      graph_(*graph.graph),
      options_(options),
      scope_(str_cat("shard_", options.index)) {
  const Graph::Scope scope(graph_, scope_, options_.device);
  feed();
}

std::vector<Value> ShardBuilder::results() const {
  std::vector<Value> values = {train_.forward.loss};
  if (train_.forward.loss_weight.defined()) values.push_back(train_.forward.loss_weight);
  for (const nn::MetricValue& metric : train_.forward.metrics) values.push_back(metric.value);
  for (const auto& average : train_.forward.moving_averages) values.push_back(average.value);
  return values;
}

std::vector<ShardLookup> ShardBuilder::add_keys() {
  const Graph::Scope scope(graph_, scope_, options_.device);
  std::vector<ShardLookup> lookups;
  std::vector<Value> keys;
  for (Node* node : nodes_for(graph_, results())) {
    if (node->op().name != "PsLookup") continue;
    lookups.push_back({node, {}});
    keys.push_back(node->input(0));
  }
  for (Node* node : nodes_for(graph_, keys)) {
    if (node->op().name == "PsLookup") {
      throw invalid_argument("the rows of \"", node->attribute<std::string>("table"),
                             "\" are used to make keys of another table: keys must come from the "
                             "data");
    }
    copy(*node);
  }
  for (ShardLookup& lookup : lookups) lookup.keys = map(lookup.original->input(0));
  return lookups;
}

void ShardBuilder::replace(Value old, Value now) {
  values_[old] = now;
  if (is_variable(*old.node)) shard_.variables[old] = now;
}

ShardForward ShardBuilder::build() {
  const Graph::Scope scope(graph_, scope_, options_.device);
  const std::vector<Value> wanted = results();
  for (Node* node : nodes_for(graph_, wanted)) copy(*node);
  shard_.loss = map(train_.forward.loss);
  shard_.loss_share = shard_.weight;
  if (train_.forward.loss_weight.defined()) {
    shard_.loss_weight = if_counted(map(train_.forward.loss_weight));
  }
  for (const nn::MetricValue& metric : train_.forward.metrics) {
    nn::MetricValue own = metric;
    own.value = map(metric.value);
    if (metric.by_row()) own.value = place_rows(own.value);
    if (metric.quantity.kind == nn::FigureKind::kSums) own.value = if_counted(own.value);
    shard_.metrics.push_back(std::move(own));
  }
  for (const auto& average : train_.forward.moving_averages) {
    shard_.statistics.push_back(map(average.value));
  }
  return std::move(shard_);
}

// Sums of a shard without an example, which computes on a row of another shard, are 0.
Value ShardBuilder::if_counted(Value sums) const {
  const Value none = ops::scalar(graph_, DType::kFloat32, 0);
  return sums * ops::cast(ops::greater(shard_.weight, none), DType::kFloat32);
}

// The rows of this shard at their places in the global batch. A shard without an example computes
// on a row of another shard, which must not count twice: it adds zeros at place 0, which is
// nobody's.
Value ShardBuilder::place_rows(Value rows) const {
  const Value all = train_.row_places;
  const Value places =
      options_.count == 1 ? all : ops::batch_part(all, options_.index, options_.count);
  const Value none = ops::scalar(graph_, DType::kFloat32, 0);
  const Value counts = ops::greater(shard_.weight, none);
  return ops::scatter_add(places * ops::cast(counts, DType::kInt64),
                          rows * ops::cast(counts, DType::kFloat32), train_.row_shape);
}

void ShardBuilder::feed() {
  const auto part = [&](Value x) {
    return options_.count == 1 ? x : ops::batch_part(x, options_.index, options_.count);
  };
  const int64_t index = options_.index;
  for (const Value& feature : train_.forward.features) values_[feature] = part(feature);
  for (const Value& labels : train_.forward.labels) values_[labels] = part(labels);
  if (const Value& weights = train_.forward.sample_weights; weights.defined()) {
    values_[weights] = part(weights);
  }
  values_[train_.forward.random_key] =
      ops::reshape(ops::slice(train_.shard_keys, {index, 0}, {1, 2}), {2});
  shard_.weight = ops::reshape(ops::slice(train_.shard_weights, {index}, {1}), {});
}

Value ShardBuilder::map(Value old) const {
  const auto it = values_.find(old);
  return it == values_.end() ? old : it->second;
}

void ShardBuilder::copy(Node& node) {
  if (values_.contains(node.output())) return;  // what is fed
  if (is_variable(node)) {
    Value value = node.output();
    if (options_.copy > 0) {
      value = train_.variables->get_or_add_copy(graph_, node.attribute<std::string>("name"),
                                                options_.copy, options_.device);
      values_[node.output()] = value;
    }
    shard_.variables[node.output()] = value;
    return;
  }
  if (node.op().cross_batch && options_.sync_batch_norm) return build_cross_batch(node);
  // What depends on nothing that differs between shards is there once.
  if (std::ranges::none_of(node.inputs(), [&](Value v) { return values_.contains(v); })) return;
  std::vector<Value> inputs;
  for (const Value& input : node.inputs()) inputs.push_back(map(input));
  Node& made = graph_.add(node.op().name, std::move(inputs), node.attributes(), node.name());
  for (int i = 0; i < node.output_count(); ++i) values_[node.output(i)] = made.output(i);
}

// A mean over the global batch: those of the shards, weighted with their shares of the examples.
Value ShardBuilder::global_mean(const Node& node, Value mean, std::string_view what) {
  Node& sums = all_reduce(graph_, {mean * shard_.weight, shard_.weight},
                          {.label = str_cat(what, " of ", node.name()),
                           .collective = str_cat(node.name(), "/", what, "/", options_.micro_batch),
                           .device_rank = options_.device_rank,
                           .tree = options_.tree});
  return sums.output(0) / sums.output(1);
}

void ShardBuilder::build_cross_batch(Node& node) {
  std::vector<Value> inputs;
  for (const Value& input : node.inputs()) inputs.push_back(map(input));
  CrossBatchContext context(node, std::move(inputs), [&](Value mean, std::string_view what) {
    return global_mean(node, mean, what);
  });
  node.op().cross_batch(context);
  for (int i = 0; i < node.output_count(); ++i) {
    const Value value = context.outputs()[static_cast<size_t>(i)];
    TRIREME_CHECK(value.defined(), node.op().name, ": its cross-batch form has no output ", i);
    values_[node.output(i)] = value;
  }
}

}  // namespace trireme
