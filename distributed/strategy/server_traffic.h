// What a step reads from parameter servers and what it sends to them: PsPull and PsPush nodes, see
// ps/ops/ps_ops.h. Private to the strategies, which know these ops by their names only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/gradient_context.h"
#include "core/nn/train_graph.h"
#include "distributed/strategy/buckets.h"
#include "distributed/strategy/shard_forward.h"

namespace trireme {

class ServerTraffic {
 public:
  explicit ServerTraffic(nn::TrainGraph& train) : train_(train), graph_(*train.graph) {}

  // One PsPull for the rows that all shards look up, and for `dense` (f32 values that are in tables
  // of these names): the shards read what it gives. Returns what stands for `dense`.
  std::vector<Value> pull(std::span<ShardBuilder> shards, const std::vector<BucketItem>& dense);

  // The rows that a shard looked up; gradients with respect to them are for push().
  std::vector<Value> rows_of(int shard) const;
  void set_gradients(int shard, std::span<const Gradient> gradients);
  bool has_gradients() const;

  // One PsPush for each bucket of `early`, as the backward pass makes them; the last also has
  // `late` and the gradients of all rows. None before `after`. Adds them to TrainGraph::pushes.
  void push(const std::vector<BucketItem>& early, int64_t first_bytes, int64_t bytes,
            const std::vector<BucketItem>& late, std::span<Node* const> after);

 private:
  struct Lookup {
    std::string table;
    int64_t dim = 0;
    Value keys, rows;
    Value gradient;  // undefined: the loss does not depend on them
  };
  // Of all shards, those of one table together.
  struct TableGradient {
    std::string table;
    Value keys, gradient;
  };
  std::vector<TableGradient> table_gradients() const;

  nn::TrainGraph& train_;
  Graph& graph_;
  std::vector<std::vector<Lookup>> lookups_;  // by shard
};

}  // namespace trireme
