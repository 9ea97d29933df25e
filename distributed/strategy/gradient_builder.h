// Builds the gradients of a step for one set of strategy options. Private to the strategies.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/nn/train_graph.h"
#include "distributed/strategy/server_traffic.h"
#include "distributed/strategy/shard_forward.h"
#include "distributed/strategy/strategy.h"

namespace trireme {

class GradientBuilder {
 public:
  GradientBuilder(nn::TrainGraph& train, const Strategy& strategy);
  void build();

 private:
  void add_placeholders();
  void add_shards();
  std::vector<BucketItem> tables_of_variables();
  const std::string& device(int index) const {
    return options_.devices[static_cast<size_t>(index)];
  }
  // The shards whose sum is the share of rank `index` of this process.
  std::pair<int, int> shards_of(int index) const;
  Value sum_of_rows(size_t metric, int begin, int count) const;
  void reduce_results();
  void local_results();
  Value copy_of(Value variable, int rank);
  void add_updates(int on_device, int begin, int count);
  void reduce_gradients();
  void push_to_servers();
  Value compress(Value gradient) const;
  static Value decompress(Value gradient, DType dtype);

  nn::TrainGraph& train_;
  Graph& graph_;
  const Strategy& strategy_;
  const StrategyOptions& options_;
  std::vector<ShardForward> shards_;
  std::optional<ServerTraffic> servers_;
  std::vector<BucketItem> statistics_;  // how much tables of moving averages are to move
};

}  // namespace trireme
