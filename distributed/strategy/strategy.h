// A Strategy says how a training step is spread: over the devices of this process, over workers,
// over micro-batches. It is a rewrite of the training graph, and nothing else.
//
// The batch of this process is cut into shards. Each shard has a copy of the forward pass and its
// own gradients; these are added along a binary tree (over the micro-batches of a device, then over
// all devices of all workers), in buckets and while the backward pass goes on. Loss, metrics and
// moving averages become those of the whole global batch.
//
// The graph does not depend on the rank, and not on the number of workers: only the shares do.
//
// Each strategy is one file, which has its StrategyDef; strategies.h lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/nn/train_graph.h"
#include "core/nn/training_group.h"

namespace trireme {

enum class Compression { kNone, kBFloat16, kFloat16, kTopK };

struct StrategyOptions {
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

class Strategy;

// What is known of a strategy before one is made: its name, and what a job needs to use it.
struct StrategyDef {
  std::string_view name;  // "multi_worker"; job files write it in capitals
  // Several worker processes train together; else one process trains.
  bool spans_workers = false;
  // Spreads the batch over all devices of a process; else only the first is used.
  bool spans_devices = false;
  // Workers form a group, whose collectives join them in each step.
  bool forms_group = false;
  // The group goes on without a member that was lost; else that one must come back.
  bool group_may_shrink = false;
  // Needs parameter servers, which keep the rows of embeddings.
  bool uses_servers = false;
  // They keep all other variables too. REQUIRES: uses_servers.
  bool variables_on_servers = false;
  // Throws Error{kInvalidArgument} when the options do not go together.
  std::unique_ptr<Strategy> (*make)(StrategyOptions options) = nullptr;
};

// Immutable once it is made; one object may serve several models and threads.
class Strategy {
 public:
  virtual ~Strategy() = default;
  Strategy(const Strategy&) = delete;

  const StrategyDef& def() const { return def_; }
  std::string_view name() const { return def_.name; }
  const StrategyOptions& options() const { return options_; }
  int devices() const { return static_cast<int>(options_.devices.size()); }
  // Parts into which the batch of this process is cut.
  int shards() const { return devices() * options_.micro_batches; }

  // Devices of this process that are ranks of their own.
  virtual int ranks() const = 0;
  // Each step has collectives: between workers, or between the ranks of this process.
  virtual bool communicates() const = 0;

  // For CompileOptions. The strategy must outlive the model's training graph.
  virtual void build_gradients(nn::TrainGraph& graph) const = 0;
  // No variable changes before all communication of the step is done, so that a step that fails has
  // changed none.
  virtual void rewrite_updates(nn::TrainGraph& graph) const;

  // The shares of worker `worker` of `workers` in a global batch of `rows`.
  virtual void fill_share(int64_t rows, int worker, int workers, nn::StepShare& share) const;

 protected:
  // Checks what all strategies demand of the options. `def` outlives the strategy.
  Strategy(const StrategyDef& def, StrategyOptions options);
  // Throws unless there is one device. `hint` is said behind it.
  void require_one_device(std::string_view hint = "") const;

 private:
  const StrategyDef& def_;
  StrategyOptions options_;
};

}  // namespace trireme
