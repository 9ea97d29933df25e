// What a server counts, as Prometheus text, and on /metrics for whoever asks. docs/metrics.md lists
// it.
//
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "distributed/metrics/metrics_address.h"
#include "ps/protocol/rpc.h"

namespace trireme::ps {

struct TableLoad {
  std::string name;
  int64_t rows = 0, bytes = 0, waiting = 0, evicted = 0;
};

// What is looked up when somebody asks. One for each slot that is here.
struct SlotLoad {
  int slot = 0;
  bool is_primary = false;
  int64_t step = 0, staleness = 0, waiting_pulls = 0, backup_lag = 0;
  struct ShardRows {
    int shard = 0;
    int64_t pulled = 0, pushed = 0;
  };
  std::vector<ShardRows> shards;
  std::vector<TableLoad> tables;
};
struct ServerLoad {
  int64_t queue = 0;  // work that waits for the shards' threads
  int64_t table_bytes = 0, reserved_bytes = 0, limit_bytes = 0;
  std::vector<SlotLoad> slots;
};

// "virtual shard 17 of slot 0 has 41% of the rows that came and went, 9.1 times the mean; …" when
// one has more than twice the mean; empty: the load is even.
std::string describe_uneven(const ServerLoad& load);

class Metrics {
 public:
  // `address` of /metrics; nothing: it is not served. Throws Error{kInvalidArgument} when it cannot
  // be bound.
  Metrics(int server, const std::optional<MetricsAddress>& address,
          std::function<ServerLoad()> load);
  ~Metrics();
  Metrics(const Metrics&) = delete;

  std::string address() const;  // "host:port"; empty: none
  std::string text() const;

  enum class Kind { kPull, kPush, kControl, kEntry, kMove };
  // Counts a request now, and its answer when it goes through what comes back.
  std::unique_ptr<Responder> count(Kind kind, size_t bytes, std::unique_ptr<Responder> responder);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace trireme::ps
