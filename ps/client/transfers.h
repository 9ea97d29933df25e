// Pulls and pushes: what goes to which slot, and what of an answer belongs where.
//
// Pulls and pushes may each come from a thread of their own; answers come on the sender's threads
// and the transport's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ps/client/key_set.h"
#include "ps/client/operation.h"
#include "ps/client/ps_client.h"
#include "ps/client/retrying_sender.h"
#include "ps/client/row_cache.h"
#include "ps/client/slot_memory.h"
#include "ps/protocol/buffer_pool.h"

namespace trireme::ps {

class Transfers {
 public:
  // A snapshot of all slots: its id in each, and which of them has each virtual shard.
  struct Snapshot {
    std::vector<int64_t> ids;
    std::vector<int> slot_of_shard;
  };

  // `options` and `sender` outlive it.
  Transfers(const PsClientOptions& options, const ShardMap& shards, RetryingSender& sender,
            int slots);

  // As in PsClient. `snapshot`: null: the rows as they are.
  void pull(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
            const Snapshot* snapshot, Operation::Done done);
  void push(int64_t step, int part, int parts, double learning_rate,
            std::span<const TableGradients> tables, Operation::Done done);
  int64_t dropped_pushes() const { return dropped_.load(std::memory_order_relaxed); }
  // That a slot has acknowledged all of, as far as this worker pushed them; that all have.
  int64_t acknowledged_step(int slot) const {
    return memories_[static_cast<size_t>(slot)].acknowledged_step();
  }
  int64_t acknowledged_step() const { return pushed_.acknowledged_step(); }

 private:
  // Of a pull: the rows that this worker had, and where those belong that it asks for.
  struct Staged {
    std::shared_ptr<std::byte> rows;  // of all keys, f32
    const SlotKeys* keys = nullptr;   // all of them
    std::vector<uint32_t> places;
    SlotKeys missing;  // the keys at these places: what is sent
  };
  // One table's share in a message.
  struct Part {
    std::shared_ptr<const KeySet> set;
    const SlotKeys* keys = nullptr;  // in `set`, `staged` or `own`
    std::shared_ptr<const SlotKeys> own;
    float* target = nullptr;  // of a pull: the rows of the whole set
    std::shared_ptr<const Staged> staged;
    Message rows;  // of a push
  };
  // The message to one slot.
  struct Bundle {
    RequestHeader header;
    std::vector<Part> parts;
    std::shared_ptr<Operation> operation;
    std::string what;  // for messages
    std::chrono::steady_clock::time_point deadline;
    // Of a push: the one that each slot hears, not a part that came from another slot's.
    bool counts = true;
    std::atomic<int64_t> epoch{0};  // that it was sent to last
    // Of a push: set by the first slot that has dropped it.
    std::shared_ptr<std::atomic<bool>> dropped;
    // The rows of `parts` are let go when the answer is there, while a copy may be on its way.
    Mutex mutex;
    bool finished GUARDED_BY(mutex) = false;
  };

  OutgoingRequest request_of(const std::shared_ptr<Bundle>& bundle);
  std::vector<OutgoingRequest> split(Bundle& bundle, std::span<const int> slot_of_shard);
  Part part_of(const Part& part, const ShardSet& shards, RowType type) const;
  std::shared_ptr<const KeySet> at(const std::shared_ptr<const KeySet>& set,
                                   std::span<const int> slot_of_shard) const;
  OutMessage make(Bundle& bundle, const Destination& destination) const;
  void finish(const std::shared_ptr<Bundle>& bundle, const Message& message,
              std::unique_ptr<Error> error);
  void receive(const Bundle& bundle, const Answer& answer);
  std::shared_ptr<const Staged> stage(const KeySet& set, const SlotKeys& keys, int64_t step);
  Message encode(const SlotKeys& keys, const KeySet& set, const float* rows,
                 const std::shared_ptr<Operation>& operation);
  std::vector<float>* residual(const KeySet& set);

  const PsClientOptions& options_;
  const ShardMap& shards_;
  RetryingSender& sender_;
  std::vector<SlotMemory> memories_;  // by slot
  SlotMemory pushed_;                 // to all of them
  std::atomic<int64_t> dropped_{0};
  BufferPool buffers_;
  std::optional<RowCache> cache_;
  // Of dense tables, when rows are rounded: what rounding lost so far. Used by push() alone.
  std::map<int, std::vector<float>> residuals_;
};

}  // namespace trireme::ps
