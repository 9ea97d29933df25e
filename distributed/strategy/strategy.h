// A Strategy says how a training step is spread: over the devices of this process, over workers,
// over micro-batches. It is a rewrite of the training graph, and nothing else.
//
// The batch of this process is cut into shards. Each shard has a copy of the forward pass and its
// own gradients; these are added along a binary tree (over the micro-batches of a device, then over
// all devices of all workers), in buckets and while the backward pass goes on. Loss, metrics and
// moving averages become those of the whole global batch.
//
// The graph does not depend on the rank, and not on the number of workers: only the shares do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/model.h"

namespace trireme {

// kParameterServer: a step pulls all variables and rows from servers and pushes their gradients.
// kHybrid: rows of embeddings are on servers, variables on every worker as with kMultiWorker.
enum class StrategyKind {
  kOneDevice,
  kMirrored,
  kMultiWorker,
  kCentralStorage,
  kParameterServer,
  kHybrid
};
std::string_view name(StrategyKind kind);

// kParameterServer: the table with one element through which workers vote to stop. A step pushes
// its worker's vote and reads the sum of those before it.
inline constexpr char kVotesTable[] = "stop_votes";

enum class Compression { kNone, kBFloat16, kFloat16, kTopK };

struct StrategyOptions {
  StrategyKind kind = StrategyKind::kOneDevice;
  // Of this process; the first is where variables live. Empty: the session's default.
  std::vector<std::string> devices;
  // Each device does its part of the batch in so many pieces, one after the other, which takes less
  // memory. In deterministic mode these are the virtual shards.
  int micro_batches = 1;
  // Sums are formed along a tree that does not depend on the number of workers, see Summation.
  bool deterministic = false;
  bool sync_batch_norm = false;  // batch norm over the global batch, not over each shard
  // Gradients are reduced, or pushed, in buckets of at most so many bytes, in the order in which
  // the backward pass makes them. The first is smaller so that communication starts early.
  int64_t bucket_bytes = 25 << 20;
  int64_t first_bucket_bytes = 1 << 20;
  Compression compression = Compression::kNone;  // of gradients that are sent
  double top_k_ratio =
      0.01;  // kTopK: the share of a bucket's elements that is sent, see TopKExchange
};

class Strategy {
 public:
  // Throws Error{kInvalidArgument} when the options do not go together.
  explicit Strategy(StrategyOptions options);

  const StrategyOptions& options() const { return options_; }
  // Parts into which the batch of this process is cut.
  int shards() const { return static_cast<int>(options_.devices.size()) * options_.micro_batches; }
  // Devices of this process that are ranks of their own.
  int ranks() const;
  bool communicates() const;  // by collectives
  bool uses_servers() const;

  // For CompileOptions. The strategy must outlive the model's training graph.
  void build_gradients(nn::TrainGraph& graph) const;
  // No variable changes before all communication of the step is done, so that a step that fails has
  // changed none.
  void rewrite_updates(nn::TrainGraph& graph) const;

  // The shares of worker `worker` of `workers` in a global batch of `rows`.
  void fill_share(int64_t rows, int worker, int workers, nn::StepShare& share) const;

 private:
  StrategyOptions options_;
};

}  // namespace trireme
