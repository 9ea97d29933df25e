#include "distributed/strategy/strategy.h"

#include <algorithm>

#include "core/autodiff/gradients.h"
#include "core/base/batch_share.h"
#include "core/base/error.h"
#include "core/ops/ops.h"
#include "distributed/strategy/buckets.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/shard_forward.h"

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

// Builds the gradients of a step for one set of options.
class GradientBuilder {
 public:
  GradientBuilder(nn::TrainGraph& train, const Strategy& strategy)
      : train_(train), graph_(*train.graph), strategy_(strategy), options_(strategy.options()) {}

  void build() {
    add_placeholders();
    const int devices = static_cast<int>(options_.devices.size());
    for (int i = 0; i < strategy_.shards(); ++i) {
      const int device = i / options_.micro_batches;
      shards_.push_back(add_shard(
          train_, {.index = i,
                   .count = strategy_.shards(),
                   .device = options_.devices[static_cast<size_t>(device)],
                   .copy = options_.kind == StrategyKind::kCentralStorage ? 0 : device,
                   .sync_batch_norm = options_.sync_batch_norm && strategy_.communicates(),
                   .device_rank = strategy_.ranks() > 1 ? device : 0,
                   .micro_batch = i % options_.micro_batches,
                   .tree = options_.deterministic}));
    }
    // First, because they are known first: the reduction runs beside the backward pass.
    reduce_results();
    if (options_.kind == StrategyKind::kCentralStorage) {
      add_updates(0, 0, strategy_.shards());
    } else {
      for (int device = 0; device < devices; ++device) {
        add_updates(device, device * options_.micro_batches, options_.micro_batches);
      }
    }
    if (strategy_.communicates()) reduce_gradients();
  }

 private:
  void add_placeholders() {
    const int64_t shards = strategy_.shards();
    train_.shard_keys = ops::placeholder(graph_, "shard_keys", DType::kInt64, {shards, 2});
    train_.shard_weights = ops::placeholder(graph_, "shard_weights", DType::kFloat32, {shards});
    train_.vote = ops::placeholder(graph_, "vote", DType::kFloat32, {});
  }

  const std::string& device(int index) const {
    return options_.devices[static_cast<size_t>(index)];
  }
  // The shards whose sum is the share of rank `index` of this process.
  std::pair<int, int> shards_of(int index) const {
    return strategy_.ranks() == 1
               ? std::pair(0, strategy_.shards())
               : std::pair(index * options_.micro_batches, options_.micro_batches);
  }

  // Loss, metrics, moving averages and votes, weighted and summed over all shards of all workers.
  void reduce_results() {
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
        add([m](const ShardForward& s) { return s.metrics[m].value; });
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
    for (nn::NamedValue& metric : train_.forward.metrics) metric.value = reduced[0][next++];
    std::vector<nn::MovingAverage> averages;
    for (const nn::MovingAverage& average : train_.forward.moving_averages) {
      for (int rank = 0; rank < strategy_.ranks(); ++rank) {
        averages.push_back({copy_of(average.variable, rank),
                            reduced[static_cast<size_t>(rank)][next], average.momentum});
      }
      ++next;
    }
    train_.forward.moving_averages = std::move(averages);
    train_.votes = reduced[0][next];
  }

  Value copy_of(Value variable, int rank) {
    if (rank == 0) return variable;
    return train_.variables->get_or_add_copy(graph_, variable.node->attribute<std::string>("name"),
                                             rank, device(rank));
  }

  // The sum of the gradients of `count` shards becomes the updates of one device's variables.
  void add_updates(int on_device, int begin, int count) {
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
      found.push_back(gradients(shard.loss * shard.weight, read));
    }
    for (size_t v = 0; v < wrt.size(); ++v) {
      if (!found[0][v].defined()) continue;
      const Value variable =
          options_.kind == StrategyKind::kCentralStorage ? wrt[v] : copy_of(wrt[v], on_device);
      nn::Update update{.variable = variable, .local_gradient = found[0][v].values};
      if (count == 1 && !strategy_.communicates()) {
        update.gradient = found[0][v];  // a sparse one stays so
      } else {
        std::vector<Value> parts;
        for (const auto& shard : found) parts.push_back(densify(shard[v], wrt[v]));
        update.gradient = {.values = tree_sum(std::move(parts))};
      }
      train_.updates.push_back(std::move(update));
    }
    if (train_.updates.empty()) {
      throw invalid_argument(
          "the loss depends on no trainable variable: the model needs a layer with weights, such "
          "as "
          "dense");
    }
  }

  void reduce_gradients() {
    const size_t ranks = static_cast<size_t>(strategy_.ranks());
    const size_t variables = train_.updates.size() / ranks;
    std::vector<BucketItem> items;
    for (size_t v = 0; v < variables; ++v) {
      items.push_back({train_.updates[v].gradient.values,
                       train_.updates[v].variable.node->attribute<std::string>("name")});
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

  Value compress(Value gradient) const {
    if (options_.compression == Compression::kNone || options_.compression == Compression::kTopK ||
        gradient.dtype() != DType::kFloat32) {
      return gradient;
    }
    return ops::cast(gradient, options_.compression == Compression::kBFloat16 ? DType::kBFloat16
                                                                              : DType::kFloat16);
  }
  static Value decompress(Value gradient, DType dtype) {
    return gradient.dtype() == dtype ? gradient : ops::cast(gradient, dtype);
  }

  nn::TrainGraph& train_;
  Graph& graph_;
  const Strategy& strategy_;
  const StrategyOptions& options_;
  std::vector<ShardForward> shards_;
};

}  // namespace

std::string_view name(StrategyKind kind) {
  switch (kind) {
    case StrategyKind::kOneDevice:
      return "one_device";
    case StrategyKind::kMirrored:
      return "mirrored";
    case StrategyKind::kMultiWorker:
      return "multi_worker";
    case StrategyKind::kCentralStorage:
      return "central_storage";
  }
  return "?";
}

Strategy::Strategy(StrategyOptions options) : options_(std::move(options)) {
  if (options_.devices.empty()) options_.devices.emplace_back();
  const size_t devices = options_.devices.size();
  if (options_.micro_batches < 1) {
    throw invalid_argument("strategy: expected at least 1 micro-batch, found ",
                           options_.micro_batches);
  }
  if (options_.kind == StrategyKind::kOneDevice && devices > 1) {
    throw invalid_argument("strategy one_device: expected 1 device, found ", devices,
                           "; mirrored or central_storage use several");
  }
  if (options_.compression == Compression::kTopK &&
      !(options_.top_k_ratio > 0 && options_.top_k_ratio <= 1)) {
    throw invalid_argument("strategy: the share of top-k must be in (0, 1], found ",
                           options_.top_k_ratio);
  }
  if (options_.compression != Compression::kNone && options_.deterministic) {
    throw invalid_argument(
        "strategy: compression rounds what each worker sends; it cannot be deterministic for any "
        "number of them");
  }
  if (options_.bucket_bytes < 1 || options_.first_bucket_bytes < 1) {
    throw invalid_argument("strategy: buckets must have at least 1 byte");
  }
}

int Strategy::ranks() const {
  return options_.kind == StrategyKind::kCentralStorage ? 1
                                                        : static_cast<int>(options_.devices.size());
}

bool Strategy::communicates() const {
  return options_.kind == StrategyKind::kMultiWorker || ranks() > 1;
}

void Strategy::build_gradients(nn::TrainGraph& graph) const {
  GradientBuilder(graph, *this).build();
}

void Strategy::rewrite_updates(nn::TrainGraph& graph) const {
  std::vector<Node*> communication;
  for (const auto& node : graph.graph->nodes()) {
    if (node->op().traits.is_communication) communication.push_back(node.get());
  }
  for (Node* target : graph.targets()) {
    for (Node* node : communication) target->add_control_input(node);
  }
}

void Strategy::fill_share(int64_t rows, int worker, int workers, nn::StepShare& share) const {
  const RowRange mine = batch_share(rows, worker, workers);
  share.examples = rows;
  share.shards.resize(static_cast<size_t>(shards()));
  for (int i = 0; i < shards(); ++i) {
    const RowRange part = batch_share(mine.size(), i, shards());
    share.shards[static_cast<size_t>(i)] = {
        .first_example = mine.begin + part.begin,
        .weight = static_cast<double>(part.size()) / static_cast<double>(rows)};
  }
}

}  // namespace trireme
