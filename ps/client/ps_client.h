// A worker's side of the parameter servers: pulls and pushes rows of all tables, over all slots,
// whatever happens to the servers meanwhile.
//
// A call that a server does not answer, because it died or the slot has moved, is sent again to
// whoever holds the slot in the next view, with the same sequence: it is applied once. Keys may
// come in any order and more than once; gradients of equal keys are added before they are sent. A
// list of keys that a server has seen is not sent again.
//
// One thread at a time for each method group: pulls, pushes and control may each come from their
// own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/io/checkpoint_parts.h"
#include "distributed/connection/pending_stream.h"
#include "ps/protocol/wire.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

enum class Consistency { kSync, kBounded, kAsync };

struct PsClientOptions {
  std::string coordinator, secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  std::string run;  // the id of this launch of the job: checkpoints say it; empty: job_id
  int worker = 0, workers = 1;
  uint64_t incarnation = 1;  // from 1; grows with each start of this worker
  int servers = 1, replicas = 1;
  std::vector<TableSpec> tables;
  Consistency dense = Consistency::kSync, sparse = Consistency::kSync;
  int staleness = 0, backup_workers = 0;
  // After which steps worker 0 saves a checkpoint: multiples of these; 0: never. See
  // proto/ps.proto.
  int64_t save_every_steps = 0, steps_per_epoch = 0;
  RowType push_type = RowType::kFloat32, pull_type = RowType::kFloat32;
  bool shared_memory = true;                  // with servers of this host
  int connections = 2;                        // to each server
  std::chrono::milliseconds timeout{60'000};  // of any one call, failovers included
  std::chrono::milliseconds join_timeout{
      60'000};  // until the coordinator and all servers are there
  // See DirectoryClientOptions. From the moment that it is not 0 on, calls wait only for servers
  // that show signs of life and for workers that are there; otherwise they end with kCancelled.
  std::function<int()> stop_signal = nullptr;
  // The worker has a group besides, whose coordinator knows better who hangs in it.
  bool has_group = false;
  // A push without an answer for so long is sent once more; a pull, which may wait for other
  // workers, after twice that.
  std::chrono::milliseconds resend_after{2'000};
  // How a connection to a server is made; null: connect_rpc(). Tests put a faulty one in between.
  std::function<std::shared_ptr<RpcConnection>(const ConnectOptions&)> connect;
  // Hot rows are taken from the worker's own memory when they are at most so many steps old. 0:
  // off.
  int cache_staleness = 0;
};

// The keys of one table in one batch: unique, split by slot. Made once for a batch, used by its
// pull and its push.
class KeySet;

struct TableKeys {
  int table = 0;
  std::shared_ptr<const KeySet> keys;
};
struct TableGradients {
  int table = 0;
  std::shared_ptr<const KeySet> keys;
  const float* rows = nullptr;  // [keys as given to prepare(), dim]: equal keys are added
};

class PsClient {
 public:
  // Waits for the servers and tells them the job's tables. Throws Error{kUnavailable},
  // kDeadlineExceeded naming the servers that have not come, kInvalidArgument when another worker
  // set them up differently.
  explicit PsClient(PsClientOptions options);
  ~PsClient();
  PsClient(const PsClient&) = delete;

  const PsClientOptions& options() const;
  const std::vector<TableSpec>& tables() const;

  // `keys`: as the batch has them, duplicates and all. Throws Error{kInvalidArgument} for a
  // negative key, or one that a dense table does not have.
  std::shared_ptr<const KeySet> prepare(int table, std::span<const int64_t> keys);
  // Of a dense table: all of it.
  std::shared_ptr<const KeySet> all_keys(int table);

  // rows[i]: [keys as given to prepare(), dim] of tables[i], for step `step` (from 1): in sync and
  // bounded consistency it waits until the rows are new enough. One message for each slot.
  // Throws kDeadlineExceeded naming the server and the workers that it waits for, and what a server
  // refuses. `snapshot`: from open_snapshot(); 0: the rows as they are.
  void pull(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
            int64_t snapshot = 0);
  // The same without waiting for the answers; `done` gets null or the error, on a thread of the
  // transport. The arguments' memory must live until then.
  void pull_async(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
                  std::function<void(std::unique_ptr<Error>)> done, int64_t snapshot = 0);

  // Sends part `part` of `parts` of step `step`'s gradients. Returns when every slot has
  // acknowledged: then no one server's death can lose it.
  void push(int64_t step, int part, int parts, double learning_rate,
            std::span<const TableGradients> tables);
  void push_async(int64_t step, int part, int parts, double learning_rate,
                  std::span<const TableGradients> tables,
                  std::function<void(std::unique_ptr<Error>)> done);
  // How many pushes of this worker came too late for their step and were dropped (sync with backup
  // workers).
  int64_t dropped_pushes() const;

  // Steps of this worker that every slot has: where one that was started again goes on.
  int64_t last_step(int parts);
  // The last step that any slot has of any worker.
  int64_t newest_step(int parts);
  // Whether any worker has pushed since the tables got their first values, or those of a
  // checkpoint. Until then they may not be complete.
  bool is_trained();

  // First values of a dense table, with or without the padding of its last row; rows that are
  // there stay unless `replace`.
  void assign(int table, std::span<const float> values, bool replace = false);

  // One cut for each slot, all after what this worker has been acknowledged. One at a time.
  // `step`: of a checkpoint, all of whose pushes this worker has made: the cuts wait until SYNC
  // tables are at that step in every slot. 0: they are of what is there. `give_up`: asked now and
  // then while it waits; true ends the wait with Error{kCancelled}. Throws kDeadlineExceeded naming
  // the slot and the workers whose pushes are missing.
  int64_t open_snapshot(int64_t step = 0, const std::function<bool()>& give_up = nullptr);
  void close_snapshot(int64_t snapshot);
  // Every slot writes its rows to the checkpoint PREFIX, on its host, in files
  // PREFIX.ps-0000I-of-0000N, reads them back and compares them with their checksums. When all
  // have, and this worker finds their files, PREFIX.ps names them: see core/io/checkpoint_parts.h.
  // `changed_since`: only rows pushed after this step; −1: all. Returns what PREFIX.ps says.
  io::PartsManifest save_snapshot(int64_t snapshot, const std::string& prefix,
                                  int64_t changed_since = -1);
  // Both, of one step: again when a server is lost meanwhile and its backup takes over.
  io::PartsManifest save_checkpoint(int64_t step, const std::string& prefix,
                                    const std::function<bool()>& give_up = nullptr);
  // Slots may be more or fewer than when it was saved. `step`: that is expected; −1: any. Throws
  // Error{kNotFound} when there is no PREFIX.ps, kDataLoss naming the part that is damaged or of
  // another step or job. Rows are as they were, unless damage is found while they are read.
  void restore_snapshot(const std::string& prefix, int64_t step = -1);
  // All tables as they were before the first step; dense ones have no values then: see assign().
  void clear();
  void evict();

  // Adds over all workers; see DirectoryClient::sum.
  void sum(const std::string& name, std::span<double> values);

  // All calls that are under way, and those that come later, end with Error{kCancelled}. Before its
  // destructor, by whoever must not wait for them.
  void end_calls();
  // So many steps of the whole job were lost before this client came.
  void tell_lost_steps(int64_t steps);
  // The worker does something without servers: it does not hang. Any thread.
  void note_progress();

  std::string status() const;  // of tables and servers, a line each

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::ps
