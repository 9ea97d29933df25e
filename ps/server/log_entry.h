// The log of a slot, as it travels from the primary to the backup: kEntry requests. Pieces of a
// virtual shard that goes to another slot look the same: kMove requests.
//
//   RequestHeader | EntryHeader | body, padded to 8 | keys of the body's sections that have none
//
// Plain values; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ps/protocol/wire.h"

namespace trireme::ps {

enum class EntryKind : uint32_t {
  // Of the log: each has an index, one more than the one before.
  kSetup = 1,    // body: a proto::Setup
  kPush = 2,     // a request
  kAssign = 3,   // a proto::Assign
  kEvict = 4,    // a Step
  kClock = 5,    // a Step: of `worker`, what came before it is lost
  kClear = 6,    // a Step: all rows go, and what comes is a checkpoint of this step
  kRows = 7,     // a row batch of `table` and `shard`
  kWaiting = 8,  // WaitingKeys of `table` and `shard`
  // How a virtual shard moves: see shard_mover.h.
  kFreeze = 9,   // `shard` is about to leave: nothing changes it any more
  kThaw = 10,    // it stays
  kLeave = 11,   // it is in another slot now
  kStage = 12,   // its rows come, as kRows and kWaiting; what was left of an earlier attempt goes
  kArrive = 13,  // all of them are here; body: a proto::ShardArrival
  // Of the log again, but none of its own: how a new backup gets what came before.
  kState = 16,         // a proto::SlotState; forgets all else
  kHeld = 17,          // a request that waits in the gate, for the shards with a bit in `index`
  kShardRows = 18,     // a row batch of `table` and `shard`
  kShardWaiting = 19,  // WaitingKeys of `table` and `shard`
  kShardLoaded = 20,   // all of `shard`: what the log says up to `index` is in it
};

struct EntryHeader {
  EntryKind kind = EntryKind::kPush;
  int32_t shard = -1;
  int64_t epoch = 0;     // of the slot: an older one is obeyed no more
  int64_t attempt = 0;   // of the primary to bring the backup up: grows
  int64_t position = 0;  // among what is sent in this attempt, from 1: none may be missing
  int64_t index = 0;
  int64_t table = -1;
  uint64_t body_bytes = 0;
};
static_assert(sizeof(EntryHeader) == 56);

struct Step {
  int64_t step = 0;
  int64_t worker = -1;
  int64_t flag = 0;  // kEvict: on command; kClear: the rows stay
};

struct LogEntry {
  EntryHeader header;  // epoch, attempt and position: who sends it fills them in
  Message body;
  std::vector<Message> keys;
  size_t bytes() const;
};

// The request that carries it.
OutMessage entry_request(const LogEntry& entry, int slot, int64_t view,
                         RequestKind kind = RequestKind::kEntry);

// What came. Throws Error{kInvalidArgument} when it is cut short.
struct ReceivedEntry {
  EntryHeader header;
  Message body;
  std::span<const int64_t> keys;
};
ReceivedEntry parse_entry(const Message& message, std::span<const std::byte> request_body);

Message bytes_of(const Step& step);
Step step_of(const Message& body);
Message bytes_of(std::string_view text);
std::string_view body_text(const Message& body);

}  // namespace trireme::ps
