// Copies of the forward pass, one for each shard of a batch. Private to the strategies.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/nn/train_graph.h"

namespace trireme {

struct ShardOptions {
  int index = 0, count = 1;  // which part of the batch
  std::string device;        // empty: the session's default
  int copy = 0;              // number of the variables' copies that it uses; 0: the variables
  bool sync_batch_norm = false;
  int device_rank = 0, micro_batch = 0;  // for sync_batch_norm: shards of one micro_batch are one
  bool tree = false;
};

struct ShardForward {
  Value weight;  // f32[]
  Value loss;    // mean over the shard
  // Of the loss in that of all workers: `weight`, or the share of Forward::loss_weight.
  Value loss_share;
  Value loss_weight;  // as in Forward; undefined: none
  std::vector<nn::MetricValue> metrics;
  std::vector<Value> statistics;  // what the layers would average, by moving average
  // By the original variable: the one that this shard reads.
  std::unordered_map<Value, Value, ValueHash> variables;
};

// A list of keys whose rows the forward pass looks up in a table that is no variable.
struct ShardLookup {
  Node* original = nullptr;  // PsLookup, of the pass that is copied
  Value keys;                // of this shard
};

// Adds the forward pass of one shard. REQUIRES: graph.shard_keys and shard_weights are there.
class ShardBuilder {
 public:
  ShardBuilder(nn::TrainGraph& graph, const ShardOptions& options);

  // Adds what makes the keys of all lookups, so that one node can pull the rows of all. Throws
  // Error{kInvalidArgument} when the keys of one come from the rows of another.
  std::vector<ShardLookup> add_keys();
  // From now on `now` stands for the original pass's `old`: a variable, or the rows of a lookup.
  void replace(Value old, Value now);
  ShardForward build();

 private:
  std::vector<Value> results() const;  // of the original pass
  Value map(Value old) const;
  Value place_rows(Value rows) const;
  Value if_counted(Value sums) const;
  void feed();
  void copy(Node& node);
  Value global_mean(const Node& node, Value mean, std::string_view what);
  void build_cross_batch(Node& node);

  nn::TrainGraph& train_;
  Graph& graph_;
  const ShardOptions options_;
  const std::string scope_;
  std::unordered_map<Value, Value, ValueHash> values_;
  ShardForward shard_;
};

}  // namespace trireme
