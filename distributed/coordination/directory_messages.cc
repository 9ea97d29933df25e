#include "distributed/coordination/directory_messages.h"

#include "core/base/error.h"
#include "distributed/coordination/wording.h"
#include "proto/directory_service.pb.h"

namespace trireme {
namespace {

constexpr size_t kTextLimit = 1024;

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
