// What an entry of a slot's log, or a piece of a shard that moves, may say: which fields each kind
// has, and their ranges, by the job's setup.
//
// Whatever comes from another server or out of a file passes here before it changes anything. What
// depends on the slot besides (that no entry is missing, that no part is cut otherwise) is checked
// by the slot, also before it changes anything.
//
// Plain functions; any thread.
#pragma once

#include <memory>
#include <string_view>

#include "ps/server/job_setup.h"
#include "ps/server/log_entry.h"

namespace trireme::ps {

namespace proto {
class SlotState;
class ShardArrival;
}  // namespace proto

// Where an entry comes from: which kinds may come there, and who is wrong when it is.
enum class EntrySource {
  kPrimary,  // the log, for a backup
  kMove,     // another slot
  kFile,     // a snapshot or a checkpoint: Error{kDataLoss} instead
};

// A slot's epoch is at most this, so that ids which carry it stay numbers.
inline constexpr int64_t kMostEpochs = (int64_t{1} << 31) - 1;
// Below an attempt's epoch, or the id of its move: counts what was tried in it.
inline constexpr int kAttemptBits = 20;

// `setup`: the slot's; null: it has none yet. `ops`: as UpdateSpec::ops, for a setup. Throws
// Error{kInvalidArgument} that says what was expected and what was found. Returns the request that
// a kPush or kHeld carries.
Request check_entry(const EntryHeader& header, const Message& body, const JobSetup* setup,
                    EntrySource source, const std::shared_ptr<const OpTable>& ops = nullptr);
Request check_entry(const ReceivedEntry& entry, const JobSetup* setup, EntrySource source,
                    const std::shared_ptr<const OpTable>& ops = nullptr);

// A job's setup whose tables can be made. Throws Error{kInvalidArgument}.
std::shared_ptr<const JobSetup> checked_setup(std::string_view serialized,
                                              const std::shared_ptr<const OpTable>& ops = nullptr);

// The same for the bodies that are messages. `setup` of the state: made of what the state says,
// null for none.
struct CheckedState {
  std::shared_ptr<const proto::SlotState> state;
  std::shared_ptr<const JobSetup> setup;
};
CheckedState checked_state(std::string_view serialized, EntrySource source,
                           const std::shared_ptr<const OpTable>& ops = nullptr);
// Empty: one that says nothing.
std::shared_ptr<const proto::ShardArrival> checked_arrival(std::string_view serialized, int shard,
                                                           const JobSetup* setup,
                                                           EntrySource source);

}  // namespace trireme::ps
