// Which parameter server holds what: decided by the directory in the coordinator, known to servers
// and workers.
//
// A *slot* is a logical server: a set of virtual shards with one ordered log of changes. Each has a
// primary and, with two replicas, a backup, which are server tasks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

struct ServerEntry {
  int index = 0;
  uint64_t incarnation = 0;  // differs for each start of the task
  bool alive = false;
  std::string address;             // of its data server
  std::string host;                // for messages
  std::string shared_memory_host;  // equal on tasks that can share memory; empty: none
  bool operator==(const ServerEntry&) const = default;
};

struct SlotEntry {
  int primary = -1;             // −1: lost; its server is awaited
  int backup = -1;              // −1: none
  bool backup_in_sync = false;  // may become the primary
  int64_t epoch = 0;            // grows when the primary changes: an older one is obeyed no more
  bool restore = false;         // the primary begins from the last snapshot: there was no backup
  bool operator==(const SlotEntry&) const = default;
};

// A virtual shard on its way to another slot. Until `slot_of_shard` says otherwise it is where it
// was; without this, whatever was done about it is undone.
struct ShardMove {
  int shard = -1, from = -1, to = -1;
  int64_t id = 0;  // another one for each attempt
  bool operator==(const ShardMove&) const = default;
};

struct ServerView {
  int64_t number = 0;  // grows with every change; 0: not all servers have come yet
  // Of the tables: another one when their state was lost and all tasks begin again.
  std::string session = {};
  std::vector<ServerEntry> servers;
  std::vector<SlotEntry> slots;
  std::vector<int> slot_of_shard;  // of each virtual shard
  std::optional<ShardMove> move;   // one at a time
  bool operator==(const ServerView&) const = default;
};

// Its numbers fit together: nothing in it is out of range.
bool makes_sense(const ServerView& view);

std::string describe(const ServerView& view);

}  // namespace trireme
