// Builds the gradients of a step out of shards, in the parts of which a strategy makes its own:
// copies of the forward pass, results, updates, and the all-reduce of their gradients. Private to
// the strategies.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/nn/train_graph.h"
#include "distributed/strategy/shard_forward.h"
#include "distributed/strategy/strategy.h"

namespace trireme {

class ServerTraffic;

// ((0+1)+(2+3))+…, as Summation::kTree does it over ranks.
Value tree_sum(std::vector<Value> values);

std::string variable_name(Value variable);

// Throws Error{kInvalidArgument} when the graph scales its loss: `who` would have sent gradients
// before they are known to be finite.
void refuse_loss_scale(const nn::TrainGraph& graph, std::string_view who);

// Throws Error{kInvalidArgument} for options of the optimizer that need the whole gradient or the
// whole variable in one place, where rows or variables are on parameter servers.
void refuse_update_options(const nn::TrainGraph& graph);

class GradientBuilder {
 public:
  // Adds the placeholders of shares, and what each shard is fed.
  GradientBuilder(nn::TrainGraph& train, const Strategy& strategy);

  // Before build_shards(): for what shall stand in place of variables and rows.
  std::span<ShardBuilder> shard_builders() { return builders_; }
  // Adds the forward passes. The shards of a rank read that rank's variables.
  void build_shards();
  const std::vector<ShardForward>& shards() const { return shards_; }
  const std::string& device(int index) const {
    return options_.devices[static_cast<size_t>(index)];
  }
  // A metric that is no mean, of `count` shards: sums, or rows, of which each shard has its own and
  // zeros at the places of the others'.
  Value sum_of_metric(size_t metric, int begin, int count) const;

  // Loss, metrics, moving averages and votes, weighted and summed over all shards of all workers,
  // become the graph's.
  void reduce_results();

  struct Updates {
    ServerTraffic* rows = nullptr;  // gets the gradients of what shards looked up; null: nothing
    bool are_remote = false;        // see nn::Update
  };
  // The gradients of a rank's shards are added up, and become the updates of its variables. Throws
  // Error{kInvalidArgument} when there are none.
  void add_updates(const Updates& updates);
  void add_updates() { add_updates({}); }

  // The gradients become those of all ranks of all workers. REQUIRES: add_updates().
  void reduce_gradients();

 private:
  void add_placeholders();
  // The shards whose sum is the share of rank `index` of this process.
  std::pair<int, int> shards_of(int index) const;
  void share_loss();
  Value copy_of(Value variable, int rank);
  void add_updates_of(int rank, const Updates& updates);
  Value compress(Value gradient) const;
  static Value decompress(Value gradient, DType dtype);

  nn::TrainGraph& train_;
  Graph& graph_;
  const Strategy& strategy_;
  const StrategyOptions& options_;
  std::vector<ShardBuilder> builders_;
  std::vector<ShardForward> shards_;
};

}  // namespace trireme
