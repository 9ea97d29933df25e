#include "distributed/strategy/gradient_builder.h"

#include <algorithm>
#include <limits>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/nn/optimizers.h"
#include "core/ops/ops.h"
#include "distributed/strategy/buckets.h"
#include "distributed/strategy/collective_ops.h"
#include "distributed/strategy/server_traffic.h"

namespace trireme {

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

void refuse_loss_scale(const nn::TrainGraph& graph, std::string_view who) {
  if (!graph.loss_scale.scale.defined()) return;
  throw invalid_argument(
      "mixed_float16 skips steps whose gradients are not finite, after they were added up; ", who,
      " would have sent them by then; use mixed_bfloat16");
}

void refuse_update_options(const nn::TrainGraph& graph) {
  if (graph.needs_gradient_norm) {
    throw invalid_argument(
        "the callback log_gradient_norm shows the norm of the gradient of all "
        "workers, which parameter servers add up in pieces; leave it out");
  }
  if (graph.optimizer == nullptr) return;
  const nn::UpdateOptions& options = graph.optimizer->update_options();
  const std::string_view wrong = options.clipnorm          ? "clipnorm"
                                 : options.clipvalue       ? "clipvalue"
                                 : options.global_clipnorm ? "global_clipnorm"
                                 : options.use_ema         ? "use_ema"
                                 : options.gradient_accumulation_steps > 1
                                     ? "gradient_accumulation_steps"
                                     : "";
  if (wrong.empty()) return;
  throw invalid_argument(
      "optimizer: ", wrong,
      ": parameter servers add up the gradients of the workers and update in "
      "pieces; expected a strategy whose workers have all of both, MULTI_WORKER, "
      "or a job without it");
}

GradientBuilder::GradientBuilder(nn::TrainGraph& train, const Strategy& strategy)
    : train_(train), graph_(*train.graph), strategy_(strategy), options_(strategy.options()) {
  if (options_.compression == Compression::kTopK) refuse_loss_scale(train, "compression TOP_K");
  add_placeholders();
  for (int i = 0; i < strategy.shards(); ++i) {
    const int on = i / options_.micro_batches;
    const int rank = strategy.ranks() > 1 ? on : 0;
    builders_.emplace_back(
        train_, ShardOptions{.index = i,
                             .count = strategy.shards(),
                             .device = device(on),
                             .copy = rank,
                             .sync_batch_norm = options_.sync_batch_norm && strategy.communicates(),
                             .device_rank = rank,
                             .micro_batch = i % options_.micro_batches,
                             .tree = options_.deterministic});
  }
}

void GradientBuilder::build_shards() {
  for (ShardBuilder& builder : builders_) shards_.push_back(builder.build());
  if (train_.forward.loss_weight.defined()) share_loss();
}

// A mean over what masks leave is that of the shards by how much they have of it, not by their
// examples. Workers that have no collectives know their own shards only.
void GradientBuilder::share_loss() {
  for (int rank = 0; rank < strategy_.ranks(); ++rank) {
    const Graph::Scope scope(graph_, "loss_weights", device(rank));
    const auto [begin, count] = shards_of(rank);
    std::vector<Value> weights, examples;
    for (int i = begin; i < begin + count; ++i) {
      const ShardForward& shard = shards_[static_cast<size_t>(i)];
      weights.push_back(shard.loss_weight);
      examples.push_back(shard.weight);
    }
    Value all = tree_sum(std::move(weights));
    if (strategy_.communicates()) {
      all = all_reduce(graph_, {all},
                       {.label = "elements that a mask leaves",
                        .collective = "loss_weights",
                        .device_rank = rank,
                        .tree = options_.deterministic})
                .output();
    }
    const Value some = ops::scalar(graph_, DType::kFloat32, std::numeric_limits<float>::min());
    all = ops::maximum(all, some);
    const Value own = tree_sum(std::move(examples));
    for (int i = begin; i < begin + count; ++i) {
      ShardForward& shard = shards_[static_cast<size_t>(i)];
      shard.loss_share = shard.loss_weight / all;
      if (!strategy_.communicates()) shard.loss_share = shard.loss_share * own;
    }
  }
}

void GradientBuilder::add_placeholders() {
  const int64_t shards = strategy_.shards();
  train_.shard_keys = ops::placeholder(graph_, "shard_keys", DType::kInt64, {shards, 2});
  train_.shard_weights = ops::placeholder(graph_, "shard_weights", DType::kFloat32, {shards});
  train_.vote = ops::placeholder(graph_, "vote", DType::kFloat32, {});
  if (std::ranges::any_of(train_.forward.metrics,
                          [](const nn::MetricValue& metric) { return metric.by_row(); })) {
    train_.row_places = ops::placeholder(graph_, "row_places", DType::kInt64, {-1});
    train_.row_shape = ops::placeholder(graph_, "row_shape", DType::kFloat32, {-1, 2});
  }
}

std::pair<int, int> GradientBuilder::shards_of(int index) const {
  return strategy_.ranks() == 1 ? std::pair(0, strategy_.shards())
                                : std::pair(index * options_.micro_batches, options_.micro_batches);
}

Value GradientBuilder::sum_of_metric(size_t metric, int begin, int count) const {
  std::vector<Value> parts;
  for (int i = begin; i < begin + count; ++i) {
    parts.push_back(shards_[static_cast<size_t>(i)].metrics[metric].value);
  }
  return tree_sum(std::move(parts));
}

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
    std::vector<Value> losses;
    for (int i = begin; i < begin + count; ++i) {
      const ShardForward& shard = shards_[static_cast<size_t>(i)];
      losses.push_back(shard.loss * shard.loss_share);
    }
    values.push_back(tree_sum(std::move(losses)));
    for (size_t m = 0; m < train_.forward.metrics.size(); ++m) {
      if (train_.forward.metrics[m].quantity.kind != nn::FigureKind::kMean) {
        values.push_back(sum_of_metric(m, begin, count));
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

Value GradientBuilder::copy_of(Value variable, int rank) {
  if (rank == 0) return variable;
  return train_.variables->get_or_add_copy(graph_, variable_name(variable), rank, device(rank));
}

void GradientBuilder::add_updates(const Updates& updates) {
  for (int rank = 0; rank < strategy_.ranks(); ++rank) add_updates_of(rank, updates);
  if (train_.updates.empty() && !(updates.rows != nullptr && updates.rows->has_gradients())) {
    throw invalid_argument(
        "the loss depends on no trainable variable: the model needs a layer with weights, such as "
        "dense");
  }
}

void GradientBuilder::add_updates_of(int rank, const Updates& updates) {
  const Graph::Scope scope(graph_, "", device(rank));
  const auto [begin, count] = shards_of(rank);
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
    if (updates.rows != nullptr) {
      const std::vector<Value> rows = updates.rows->rows_of(i);
      read.insert(read.end(), rows.begin(), rows.end());
    }
    found.push_back(gradients(nn::scaled_loss(train_, shard.loss * shard.loss_share), read));
    if (updates.rows != nullptr) {
      updates.rows->set_gradients(i, std::span(found.back()).subspan(wrt.size()));
    }
  }
  for (size_t v = 0; v < wrt.size(); ++v) {
    if (!found[0][v].defined()) continue;
    nn::Update update{.variable = copy_of(wrt[v], rank),
                      .local_gradient = found[0][v].values,
                      .is_remote = updates.are_remote};
    if (count == 1 && !strategy_.communicates() && !updates.are_remote) {
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
  if (train_.updates.empty()) return;
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
