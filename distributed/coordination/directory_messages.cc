#include "distributed/coordination/directory_messages.h"

#include <limits>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.pb.h"

namespace trireme {
namespace {

constexpr size_t kTextLimit = 1024;
// Larger than anything that is, and small enough to be added up.
constexpr int64_t kMostSteps = int64_t{1} << 40, kMostIndex = 1 << 20, kMostSignals = 64;
constexpr int64_t kMostMs = int64_t{100} * 365 * 24 * 3600 * 1000;

}  // namespace

void to_message(const ServerEntry& server, directory::Server* message) {
  message->set_index(server.index);
  message->set_incarnation(server.incarnation);
  message->set_alive(server.alive);
  message->set_address(server.address);
  message->set_host(server.host);
  message->set_shared_memory_host(server.shared_memory_host);
}

ServerEntry to_server(const directory::Server& message) {
  return {.index = message.index(),
          .incarnation = message.incarnation(),
          .alive = message.alive(),
          .address = clean(message.address(), kTextLimit),
          .host = clean(message.host(), kTextLimit),
          .shared_memory_host = clean(message.shared_memory_host(), kTextLimit)};
}

void check(const directory::Report& report) {
  const auto range = [](const char* name, int64_t value, int64_t least, int64_t most) {
    if (value >= least && value <= most) return;
    throw invalid_argument("a report to the directory of parameter servers: expected ", name,
                           " from ", least, " to ", most, ", found ", value);
  };
  const directory::Announcement& who = report.announcement();
  range("a number of servers", who.servers(), 0, kMostIndex);
  range("a number of replicas", who.replicas(), 0, 2);
  range("a server", who.server().index(), 0, kMostIndex);
  range("a worker", who.worker().index(), 0, kMostIndex);
  range("a worker's patience in ms", who.patience_ms(), 0, kMostMs);
  for (const directory::Snapshot& snapshot : who.snapshots()) {
    range("a snapshot's slot", snapshot.slot(), 0, kMostIndex);
    range("a snapshot's step", snapshot.step(), 0, kMostSteps);
    // Clocks of hosts differ.
    range("a snapshot's age in ms", snapshot.age_ms(), -kMostMs, kMostMs);
  }
  range("a signal", report.stop_signal(), 0, kMostSignals);
  range("a step", report.step(), 0, kMostSteps);
  range("a worker's progress", report.progress(), 0, std::numeric_limits<int64_t>::max() - 1);
  for (const int server : report.suspects()) range("a server", server, 0, kMostIndex);
  for (const directory::InSync& slot : report.in_sync()) {
    range("a slot", slot.slot(), 0, kMostIndex);
  }
  for (const directory::LostState& lost : report.lost_state()) {
    range("a slot", lost.slot(), 0, kMostIndex);
  }
  for (const directory::LostSteps& lost : report.lost_steps()) {
    range("a slot", lost.slot(), -1, kMostIndex);
    range("a number of lost steps", lost.steps(), 0, kMostSteps);
  }
}

void to_message(const SlotEntry& slot, int index, directory::Slot* message) {
  message->set_primary(slot.primary);
  message->set_backup(slot.backup);
  message->set_backup_in_sync(slot.backup_in_sync);
  message->set_epoch(slot.epoch);
  message->set_restore(slot.restore);
  message->set_index(index);
}

SlotEntry to_slot(const directory::Slot& message) {
  return {.primary = message.primary(),
          .backup = message.backup(),
          .backup_in_sync = message.backup_in_sync(),
          .epoch = message.epoch(),
          .restore = message.restore()};
}

void to_message(const ShardMove& move, directory::ShardMove* message) {
  message->set_shard(move.shard);
  message->set_from(move.from);
  message->set_to(move.to);
  message->set_id(move.id);
}

ShardMove to_move(const directory::ShardMove& message) {
  return {message.shard(), message.from(), message.to(), message.id()};
}

void to_message(const ServerView& view, directory::View* message) {
  message->set_number(view.number);
  message->set_session(view.session);
  for (const ServerEntry& server : view.servers) to_message(server, message->add_servers());
  for (size_t i = 0; i < view.slots.size(); ++i) {
    to_message(view.slots[i], static_cast<int>(i), message->add_slots());
  }
  message->mutable_slot_of_shard()->Add(view.slot_of_shard.begin(), view.slot_of_shard.end());
  if (view.move) to_message(*view.move, message->mutable_move());
}

ServerView to_view(const directory::View& message) {
  ServerView view;
  view.number = message.number();
  view.session = clean(message.session(), kTextLimit);
  for (const directory::Server& server : message.servers()) {
    view.servers.push_back(to_server(server));
  }
  bool in_order = true;
  for (const directory::Slot& slot : message.slots()) {
    in_order = in_order && slot.index() == static_cast<int>(view.slots.size());
    view.slots.push_back(to_slot(slot));
  }
  view.slot_of_shard = {message.slot_of_shard().begin(), message.slot_of_shard().end()};
  if (message.has_move()) view.move = to_move(message.move());
  if (!in_order || !makes_sense(view)) {
    throw data_loss("the coordinator has sent a view of the servers that makes no sense");
  }
  return view;
}

}  // namespace trireme
