// Pulls and pushes: what goes to which slot, and what of an answer belongs where.
//
// Pulls and pushes may each come from a thread of their own; answers come on the courier's threads
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

#include "ps/client/courier.h"
#include "ps/client/key_set.h"
#include "ps/client/operation.h"
#include "ps/client/ps_client.h"
#include "ps/client/row_cache.h"
#include "ps/client/slot_memory.h"
#include "ps/protocol/buffer_pool.h"

namespace trireme::ps {

class Transfers {
 public:
  // `options` and `courier` outlive it.
  Transfers(const PsClientOptions& options, Courier& courier, int slots);

  // As in PsClient. `snapshots`: of each slot; empty: the rows as they are.
  void pull(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
            std::span<const int64_t> snapshots, Operation::Done done);
  void push(int64_t step, int part, int parts, double learning_rate,
            std::span<const TableGradients> tables, Operation::Done done);
  int64_t dropped_pushes() const { return dropped_.load(std::memory_order_relaxed); }
  // That a slot has acknowledged all of, as far as this worker pushed them.
  int64_t acknowledged_step(int slot) const {
    return memories_[static_cast<size_t>(slot)].acknowledged_step();
  }

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
    const SlotKeys* keys = nullptr;  // in `set`, or in `staged`
    float* target = nullptr;         // of a pull: the rows of the whole set
    std::shared_ptr<const Staged> staged;
    Message rows;  // of a push
  };
  // The message to one slot.
  struct Bundle {
    RequestHeader header;
    std::vector<Part> parts;
    std::shared_ptr<Operation> operation;
    std::atomic<int64_t> epoch{0};  // that it was sent to last
    // Of a push: set by the first slot that has dropped it.
    std::shared_ptr<std::atomic<bool>> dropped;
    // The rows of `parts` are let go when the answer is there, while a copy may be on its way.
    Mutex mutex;
    bool finished GUARDED_BY(mutex) = false;
  };

  Parcel parcel(const std::shared_ptr<Bundle>& bundle, std::string what) const;
  OutMessage make(Bundle& bundle, const Destination& destination) const;
  void finish(const std::shared_ptr<Bundle>& bundle, const Message& message,
              std::unique_ptr<Error> error);
  void receive(const Bundle& bundle, const Answer& answer);
  std::shared_ptr<const Staged> stage(const KeySet& set, const SlotKeys& keys, int64_t step);
  Message encode(const SlotKeys& keys, const KeySet& set, const float* rows,
                 const std::shared_ptr<Operation>& operation);
  float* residual(const SlotKeys& keys, const KeySet& set);

  const PsClientOptions& options_;
  Courier& courier_;
  std::vector<SlotMemory> memories_;  // by slot
  std::atomic<int64_t> dropped_{0};
  BufferPool buffers_;
  std::optional<RowCache> cache_;
  // Of dense tables, when rows are rounded: what rounding lost so far. Used by push() alone.
  std::map<int, std::vector<float>> residuals_;
};

}  // namespace trireme::ps
