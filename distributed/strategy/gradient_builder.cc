#include "distributed/strategy/gradient_builder.h"

#include <algorithm>
#include <limits>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/ops.h"
#include "distributed/strategy/collective_ops.h"

namespace trireme {
namespace {

// ((0+1)+(2+3))+…, as Summation::kTree does it over ranks.
Value tree_sum(std::vector<Value> values) {
  while (values.size() > 1) {
    std::vector<Value> next;
    for (size_t i = 0; i < values.size(); i += 2) {
      next.push_back(i + 1 < values.size() ? values[i] + values[i + 1] : values[i]);
    }
    values = std::move(next);
  }
  return values[0];
}

std::string variable_name(Value variable) { return variable.node->attribute<std::string>("name"); }

}  // namespace

GradientBuilder::GradientBuilder(nn::TrainGraph& train, const Strategy& strategy)
    : train_(train), graph_(*train.graph), strategy_(strategy), options_(strategy.options()) {
  const bool scales = train.loss_scale.scale.defined();
  if (scales && (strategy.uses_servers() || options_.compression == Compression::kTopK)) {
    throw invalid_argument(
        "mixed_float16 skips steps whose gradients are not finite, after they were added up; ",
        strategy.uses_servers() ? "parameter servers" : "compression TOP_K",
        " would have sent them by then; use mixed_bfloat16");
  }
  if (strategy.uses_servers()) servers_.emplace(train);
}

void GradientBuilder::build() {
  add_placeholders();
  add_shards();
  // First, because they are known first: the reduction runs beside the backward pass.
  options_.kind == StrategyKind::kParameterServer ? local_results() : reduce_results();
  if (options_.kind == StrategyKind::kCentralStorage) {
    add_updates(0, 0, strategy_.shards());
  } else {
    const int devices = static_cast<int>(options_.devices.size());
    for (int device = 0; device < devices; ++device) {
      add_updates(device, device * options_.micro_batches, options_.micro_batches);
    }
  }
  if (train_.updates.empty() && !(servers_ && servers_->has_gradients())) {
    throw invalid_argument(
        "the loss depends on no trainable variable: the model needs a layer with weights, such as "
        "dense");
  }
  if (strategy_.communicates() && !train_.updates.empty()) reduce_gradients();
  if (servers_) push_to_servers();
}

void GradientBuilder::add_placeholders() {
  const int64_t shards = strategy_.shards();
  train_.shard_keys = ops::placeholder(graph_, "shard_keys", DType::kInt64, {shards, 2});
  train_.shard_weights = ops::placeholder(graph_, "shard_weights", DType::kFloat32, {shards});
  train_.vote = ops::placeholder(graph_, "vote", DType::kFloat32, {});
  if (std::ranges::any_of(train_.forward.metrics, &nn::MetricValue::by_row)) {
    train_.row_places = ops::placeholder(graph_, "row_places", DType::kInt64, {-1});
    train_.row_shape = ops::placeholder(graph_, "row_shape", DType::kFloat32, {-1, 2});
  }
}

void GradientBuilder::add_shards() {
  std::vector<ShardBuilder> builders;
  for (int i = 0; i < strategy_.shards(); ++i) {
    const int on = i / options_.micro_batches;
    builders.emplace_back(
        train_,
        ShardOptions{.index = i,
                     .count = strategy_.shards(),
                     .device = device(on),
                     .copy = options_.kind == StrategyKind::kCentralStorage ? 0 : on,
                     .sync_batch_norm = options_.sync_batch_norm && strategy_.communicates(),
                     .device_rank = strategy_.ranks() > 1 ? on : 0,
                     .micro_batch = i % options_.micro_batches,
                     .tree = options_.deterministic});
  }
  if (servers_) {
    const bool all = options_.kind == StrategyKind::kParameterServer;
    const auto values =
        servers_->pull(builders, all ? tables_of_variables() : std::vector<BucketItem>{});
    if (all) train_.votes = ops::reshape(values.back(), {});
  }
  for (ShardBuilder& builder : builders) shards_.push_back(builder.build());
}

// Everything that the layers keep, then the votes.
std::vector<BucketItem> GradientBuilder::tables_of_variables() {
  std::vector<BucketItem> tables;
  for (const nn::VariableSpec& spec : train_.variables->all()) {
    if (spec.role != nn::VariableRole::kSlot) tables.push_back({spec.value, spec.name});
  }
  tables.push_back({ops::reshape(train_.vote, {1}), kVotesTable});
  return tables;
}

std::pair<int, int> GradientBuilder::shards_of(int index) const {
  return strategy_.ranks() == 1 ? std::pair(0, strategy_.shards())
                                : std::pair(index * options_.micro_batches, options_.micro_batches);
}

// Each shard has its own rows of the metric, and zeros at the places of the others'.
Value GradientBuilder::sum_of_rows(size_t metric, int begin, int count) const {
  std::vector<Value> parts;
  for (int i = begin; i < begin + count; ++i) {
    parts.push_back(shards_[static_cast<size_t>(i)].metrics[metric].value);
  }
  return tree_sum(std::move(parts));
}

// Loss, metrics, moving averages and votes, weighted and summed over all shards of all workers.
void GradientBuilder::reduce_results() {
  std::vector<std::vector<Value>> reduced;  // by rank
  for (int rank = 0; rank < strategy_.ranks(); ++rank) {
    const Graph::Scope scope(graph_, "results", device(rank));
    const auto [begin, count] = shards_of(rank);
    std::vector<Value> values;
    const auto add = [&](auto member) {
      std::vector<Value> parts;
      for (int i = begin; i < begin + count; ++i) {
        const ShardForward& shard = shards_[static_cast<size_t>(i)];
        parts.push_back(member(shard) * shard.weight);
      }
      values.push_back(tree_sum(std::move(parts)));
    };
    add([](const ShardForward& s) { return s.loss; });
    for (size_t m = 0; m < train_.forward.metrics.size(); ++m) {
      if (train_.forward.metrics[m].by_row) {
        values.push_back(sum_of_rows(m, begin, count));
      } else {
        add([m](const ShardForward& s) { return s.metrics[m].value; });
      }
    }
    for (size_t m = 0; m < train_.forward.moving_averages.size(); ++m) {
      add([m](const ShardForward& s) { return s.statistics[m]; });
    }
    // Every rank of this process casts its vote once.
    values.push_back(ops::identity(train_.vote));
    if (strategy_.communicates()) {
      Node& node = all_reduce(graph_, values,
                              {.label = "loss and metrics",
                               .collective = "results",
                               .device_rank = rank,
                               .tree = options_.deterministic});
      for (size_t i = 0; i < values.size(); ++i) values[i] = node.output(static_cast<int>(i));
    }
    reduced.push_back(std::move(values));
  }
  size_t next = 0;
  train_.forward.loss = reduced[0][next++];
  for (nn::MetricValue& metric : train_.forward.metrics) metric.value = reduced[0][next++];
  std::vector<nn::MovingAverage> averages;
  for (const nn::MovingAverage& average : train_.forward.moving_averages) {
    for (int rank = 0; rank < strategy_.ranks(); ++rank) {
      averages.push_back({copy_of(average.variable, rank), reduced[static_cast<size_t>(rank)][next],
                          average.momentum});
    }
    ++next;
  }
  train_.forward.moving_averages = std::move(averages);
  train_.votes = reduced[0][next];
}

// Loss and metrics of this worker's own examples. Each worker moves the tables of moving averages
// by its share of the way, so that all together go as far as one process would.
void GradientBuilder::local_results() {
  const Graph::Scope scope(graph_, "results", device(0));
  std::vector<Value> weights;
  for (const ShardForward& shard : shards_) weights.push_back(shard.weight);
  const Value some = ops::scalar(graph_, DType::kFloat32, std::numeric_limits<float>::min());
  // A worker with no row of a short batch has a weight of 0.
  const Value whole = ops::maximum(tree_sum(std::move(weights)), some);
  const auto mean = [&](auto member) {
    std::vector<Value> parts;
    for (const ShardForward& shard : shards_) parts.push_back(member(shard) * shard.weight);
    return tree_sum(std::move(parts)) / whole;
  };
  train_.forward.loss = mean([](const ShardForward& s) { return s.loss; });
  for (size_t m = 0; m < train_.forward.metrics.size(); ++m) {
    nn::MetricValue& metric = train_.forward.metrics[m];
    metric.value = metric.by_row ? sum_of_rows(m, 0, strategy_.shards())
                                 : mean([m](const ShardForward& s) { return s.metrics[m].value; });
  }
  for (size_t m = 0; m < train_.forward.moving_averages.size(); ++m) {
    const nn::MovingAverage& average = train_.forward.moving_averages[m];
    const Value rate = ops::scalar(graph_, DType::kFloat32, 1 - average.momentum);
    std::vector<Value> parts;
    for (const ShardForward& shard : shards_) {
      const auto read = shard.variables.find(average.variable);
      const Value now = read == shard.variables.end() ? average.variable : read->second;
      parts.push_back((shard.statistics[m] - now) * (shard.weight * rate));
    }
    statistics_.push_back({tree_sum(std::move(parts)), variable_name(average.variable)});
  }
  train_.forward.moving_averages.clear();
}

Value GradientBuilder::copy_of(Value variable, int rank) {
  if (rank == 0) return variable;
  return train_.variables->get_or_add_copy(graph_, variable_name(variable), rank, device(rank));
}

// The sum of the gradients of `count` shards becomes the updates of one device's variables.
void GradientBuilder::add_updates(int on_device, int begin, int count) {
  const Graph::Scope scope(graph_, "", device(on_device));
  std::vector<Value> wrt;
  for (const nn::VariableSpec& spec : train_.variables->all()) {
    if (spec.role != nn::VariableRole::kTrainable || !spec.copy_of.empty()) continue;
    wrt.push_back(spec.value);
  }
  std::vector<std::vector<Gradient>> found;  // by shard
  for (int i = begin; i < begin + count; ++i) {
    const ShardForward& shard = shards_[static_cast<size_t>(i)];
    const Graph::Scope shard_scope(graph_, str_cat("shard_", i),
                                   device(i / options_.micro_batches));
    std::vector<Value> read;
    for (const Value& variable : wrt) {
      const auto it = shard.variables.find(variable);
      read.push_back(it == shard.variables.end() ? variable : it->second);
    }
    if (servers_) {
      const std::vector<Value> rows = servers_->rows_of(i);
      read.insert(read.end(), rows.begin(), rows.end());
    }
    found.push_back(gradients(nn::scaled_loss(train_, shard.loss * shard.weight), read));
    if (servers_) servers_->set_gradients(i, std::span(found.back()).subspan(wrt.size()));
  }
  const bool is_remote = options_.kind == StrategyKind::kParameterServer;
  for (size_t v = 0; v < wrt.size(); ++v) {
    if (!found[0][v].defined()) continue;
    const Value variable =
        options_.kind == StrategyKind::kCentralStorage ? wrt[v] : copy_of(wrt[v], on_device);
    nn::Update update{
        .variable = variable, .local_gradient = found[0][v].values, .is_remote = is_remote};
    if (count == 1 && !strategy_.communicates() && !is_remote) {
      update.gradient = found[0][v];  // a sparse one stays so
    } else {
      std::vector<Value> parts;
      for (const auto& shard : found) parts.push_back(densify(shard[v], wrt[v]));
      update.gradient = {.values = tree_sum(std::move(parts))};
    }
    train_.updates.push_back(std::move(update));
  }
}

void GradientBuilder::reduce_gradients() {
  const size_t ranks = static_cast<size_t>(strategy_.ranks());
  const size_t variables = train_.updates.size() / ranks;
  std::vector<BucketItem> items;
  for (size_t v = 0; v < variables; ++v) {
    items.push_back({train_.updates[v].gradient.values, variable_name(train_.updates[v].variable)});
  }
  const auto buckets = make_buckets(items, options_.first_bucket_bytes, options_.bucket_bytes);
  for (size_t rank = 0; rank < ranks; ++rank) {
    const Graph::Scope scope(graph_, "buckets", device(static_cast<int>(rank)));
    Node* last = nullptr;
    for (const Bucket& bucket : buckets) {
      std::vector<Value> values;
      const bool is_float = items[bucket.items[0]].value.dtype() == DType::kFloat32;
      const double top_k =
          options_.compression == Compression::kTopK && is_float ? options_.top_k_ratio : 0;
      for (size_t item : bucket.items) {
        values.push_back(compress(train_.updates[rank * variables + item].gradient.values));
      }
      Node& node = all_reduce(graph_, values,
                              {.label = bucket.label,
                               .collective = bucket.label,
                               .device_rank = static_cast<int>(rank),
                               .tree = options_.deterministic,
                               .top_k = top_k});
      // The same order on every rank, whatever a pass does to the rest of the graph.
      if (last != nullptr) node.add_control_input(last);
      last = &node;
      for (size_t i = 0; i < bucket.items.size(); ++i) {
        Value& gradient = train_.updates[rank * variables + bucket.items[i]].gradient.values;
        gradient = decompress(node.output(static_cast<int>(i)), gradient.dtype());
      }
    }
  }
}

// After all collectives of the step: a step that fails in one of them has pushed nothing.
void GradientBuilder::push_to_servers() {
  std::vector<Node*> collectives;
  for (const auto& node : graph_.nodes()) {
    if (node->op().name == "AllReduce") collectives.push_back(node.get());
  }
  std::vector<BucketItem> variables, late = std::move(statistics_);
  if (options_.kind == StrategyKind::kParameterServer) {
    for (const nn::Update& update : train_.updates) {
      variables.push_back({update.gradient.values, variable_name(update.variable)});
    }
    late.push_back({ops::reshape(train_.vote, {1}), kVotesTable});
  }
  servers_->push(variables, options_.first_bucket_bytes, options_.bucket_bytes, late, collectives);
}

Value GradientBuilder::compress(Value gradient) const {
  if (options_.compression == Compression::kNone || options_.compression == Compression::kTopK ||
      gradient.dtype() != DType::kFloat32) {
    return gradient;
  }
  return ops::cast(gradient, options_.compression == Compression::kBFloat16 ? DType::kBFloat16
                                                                            : DType::kFloat16);
}

Value GradientBuilder::decompress(Value gradient, DType dtype) {
  return gradient.dtype() == dtype ? gradient : ops::cast(gradient, dtype);
}

}  // namespace trireme
