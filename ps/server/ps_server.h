// A parameter-server task: holds slots (see distributed/coordination/server_view.h), applies what
// workers push, answers what they pull, and keeps its backups equal.
//
// Threads: the transport's hand requests in; each shard thread owns some virtual shards and runs
// their work in the order of the slot's log; one thread per backup sends it the log; the
// directory's thread brings views.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "distributed/connection/pending_stream.h"
#include "distributed/metrics/metrics_address.h"
#include "ps/protocol/rpc.h"

namespace trireme {
class OpTable;
}

namespace trireme::ps {

struct PsServerOptions {
  std::string coordinator, secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  int index = 0, servers = 1, replicas = 1;
  uint64_t incarnation = 0;
  std::string listen = "127.0.0.1", host;
  std::chrono::milliseconds join_timeout{60'000};  // until the coordinator is there
  int threads = 0;                                 // shard threads; 0: one for each core
  int64_t memory_limit = 0;  // bytes of all tables; more is refused; 0: 80% of the machine's
  bool shared_memory = true;
  // Every so often, each slot that is here is written there; where a server without a backup begins
  // after its death. Empty: never.
  std::string snapshot_directory;
  std::chrono::seconds snapshot_interval{60};
  std::optional<MetricsAddress> metrics = {};  // nothing: none
  std::function<int()> stop_signal = nullptr;  // see DirectoryClientOptions
  // Those of the job, in which the updates of its tables are; null: Trireme's own.
  std::shared_ptr<const OpTable> ops = nullptr;
};

class PsServer {
 public:
  // Throws Error{kUnavailable} naming what cannot be bound or reached, kInvalidArgument when the
  // directory refuses it.
  explicit PsServer(PsServerOptions options);
  ~PsServer();  // says goodbye
  PsServer(const PsServer&) = delete;

  std::string address() const;
  std::string metrics_address() const;  // empty: none
  // Returns when the job is over (the coordinator is gone), and after `stop` is set when no worker
  // is connected any more: they are told to stop too, and need it to save. Throws what ended it
  // otherwise.
  void run(const std::atomic<bool>& stop);
  std::string status() const;  // a line for each table

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::ps
