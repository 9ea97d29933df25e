// Where the pushes of synchronous steps wait for those of the other workers.
//
// Steps are applied in order, each part as soon as enough workers' contributions are there: by
// virtual shard, since one that comes from another slot may be a step behind or ahead. Part of a
// slot's replicated state. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ps/server/push.h"
#include "ps/server/worker_ledger.h"

namespace trireme::ps {

// What of a push counts.
struct Contribution {
  std::shared_ptr<const Push> push;
  ShardSet shards;
};

class Gate {
 public:
  // `required`: contributions that a part waits for: the workers that are not backup workers.
  // `shards`: of the slot. `is_saved`: whether worker 0 saves a checkpoint of a step: the step
  // after it waits for worker 0, so that the rows stay at that step until they are saved. Null: of
  // none.
  explicit Gate(int required = 0, ShardSet shards = all_shards(kVirtualShards),
                std::function<bool(int64_t)> is_saved = nullptr)
      : required_(required), shards_(shards), is_saved_(std::move(is_saved)) {}

  // The last step all parts of which went through; nothing before the first push.
  std::optional<int64_t> done() const { return done_; }

  // Throws Error{kInvalidArgument} when others cut the step into other parts.
  void check(const RequestHeader& push) const;
  // False: the part went through without it, at least in one of `shards`.
  bool hold(std::shared_ptr<const Push> push, const ShardSet& shards);
  // Lets through what is complete: calls `apply` with the contributions of a part, by rank of
  // worker, one part at a time, in order. Shards in `frozen` wait.
  using Apply = std::function<void(std::vector<Contribution>)>;
  void advance(const WorkerLedger& ledger, const ShardSet& frozen, const Apply& apply);

  // As after a checkpoint of this step: forgets what is held.
  void restart(int64_t step);

  // A shard comes, with the gate of the slot that it was in; null: it is where the others are. What
  // that gate holds for it comes through hold(). `ledger`: of this slot, which has the shard.
  void arrive(int shard, const Gate* source, const WorkerLedger& ledger);
  void leave(int shard);

  // "step 12: workers 1, 3" whose contributions are missing for done() to reach `step`.
  std::string missing(int64_t step, const WorkerLedger& ledger) const;
  void for_each_held(const std::function<void(const Contribution&)>& visit) const;

  void save(proto::SlotState& state, int shards) const;
  // What is held comes through hold() again.
  void load(const proto::SlotState& state, int shards);

 private:
  struct Part {
    ShardSet applied;
    std::map<int, std::vector<Contribution>> held;  // by worker
  };

  ShardSet settled(int64_t step, const Part& part, const WorkerLedger& ledger) const;
  bool is_applied(const Part& part) const { return part.applied.contains(shards_); }
  static std::vector<Contribution> take(Part& part, const ShardSet& ready);
  static void forget_empty(Part& part);

  int required_;
  ShardSet shards_;
  std::function<bool(int64_t)> is_saved_;
  std::optional<int64_t> done_;
  std::map<int64_t, std::vector<Part>> steps_;
};

}  // namespace trireme::ps
