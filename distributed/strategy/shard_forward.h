// Copies of the forward pass, one for each shard of a batch. Private to the strategies.
#pragma once

#include <string>
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
  std::vector<nn::NamedValue> metrics;
  std::vector<Value> statistics;  // what the layers would average, by moving average
  // By the original variable: the one that this shard reads.
  std::unordered_map<Value, Value, ValueHash> variables;
};

// Adds the forward pass of one shard. REQUIRES: graph.shard_keys and shard_weights are there.
ShardForward add_shard(nn::TrainGraph& graph, const ShardOptions& options);

}  // namespace trireme
