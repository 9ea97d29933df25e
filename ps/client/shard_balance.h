// Evens out how busy the slots of the parameter servers are, by moving virtual shards between them
// while the job runs: what `trireme ps rebalance` does.
//
// plan_balance() is a function of numbers. ShardBalancer: one thread at a time; its calls wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/directory_client.h"

namespace trireme::ps {

struct ShardUse {
  int shard = 0, slot = 0;
  int64_t rows = 0;  // pulled and pushed
};

struct PlannedMove {
  int shard = 0, from = 0, to = 0;
  int64_t rows = 0;
};

struct BalancePlan {
  std::vector<PlannedMove> moves;
  std::vector<int64_t> before, after;  // rows by slot
};

// From the busiest slot to the idlest, a shard at a time, as long as that brings them closer; few
// moves, since each costs its slots a pause.
BalancePlan plan_balance(std::span<const ShardUse> use, int slots);

// Lines for people: how busy the slots are, the shard that stands out, what moves where, and what
// comes of it.
std::string describe(const BalancePlan& plan, std::span<const ShardUse> use);

struct ShardBalancerOptions {
  std::string coordinator, secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  std::chrono::milliseconds timeout{60'000};  // of any one call
};

class ShardBalancer {
 public:
  // Throws Error{kUnavailable}, kDeadlineExceeded naming the servers that have not come.
  explicit ShardBalancer(ShardBalancerOptions options);

  int slots() const { return slots_; }
  ServerView view() const { return directory_.view(); }
  // What each shard's rows were asked for and changed within so long; 0: since it came to its slot.
  std::vector<ShardUse> use(std::chrono::milliseconds within);
  // Returns when the shard is there. Throws as DirectoryClient::move_shard().
  void move(int shard, int to) { directory_.move_shard(shard, to, options_.timeout); }

 private:
  std::vector<ShardUse> use_so_far();
  std::vector<ShardUse> ask(int slot);

  const ShardBalancerOptions options_;
  DirectoryClient directory_;
  const int slots_;
};

}  // namespace trireme::ps
