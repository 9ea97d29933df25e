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

void to_message(const ServerView& view, directory::View* message) {
  message->set_number(view.number);
  message->set_session(view.session);
  for (const ServerEntry& server : view.servers) to_message(server, message->add_servers());
  for (const SlotEntry& slot : view.slots) {
    directory::Slot* entry = message->add_slots();
    entry->set_primary(slot.primary);
    entry->set_backup(slot.backup);
    entry->set_backup_in_sync(slot.backup_in_sync);
    entry->set_epoch(slot.epoch);
    entry->set_restore(slot.restore);
  }
  message->mutable_slot_of_shard()->Add(view.slot_of_shard.begin(), view.slot_of_shard.end());
  if (view.move) {
    directory::ShardMove* move = message->mutable_move();
    move->set_shard(view.move->shard);
    move->set_from(view.move->from);
    move->set_to(view.move->to);
    move->set_id(view.move->id);
  }
}

ServerView to_view(const directory::View& message) {
  ServerView view;
  view.number = message.number();
  view.session = clean(message.session(), kTextLimit);
  const int servers = message.servers_size();
  bool good = view.number >= 0;
  for (const directory::Server& server : message.servers()) {
    good = good && server.index() == static_cast<int>(view.servers.size());
    view.servers.push_back(to_server(server));
  }
  const auto is_server_or_none = [&](int index) { return index >= -1 && index < servers; };
  for (const directory::Slot& slot : message.slots()) {
    good = good && is_server_or_none(slot.primary()) && is_server_or_none(slot.backup());
    view.slots.push_back({.primary = slot.primary(),
                          .backup = slot.backup(),
                          .backup_in_sync = slot.backup_in_sync(),
                          .epoch = slot.epoch(),
                          .restore = slot.restore()});
  }
  for (const int slot : message.slot_of_shard()) {
    good = good && slot >= 0 && slot < message.slots_size();
    view.slot_of_shard.push_back(slot);
  }
  if (message.has_move()) {
    const directory::ShardMove& move = message.move();
    good = good && move.shard() >= 0 && move.shard() < message.slot_of_shard_size() &&
           move.from() >= 0 && move.from() < message.slots_size() && move.to() >= 0 &&
           move.to() < message.slots_size();
    view.move = {move.shard(), move.from(), move.to(), move.id()};
  }
  good = good && (view.number == 0 || (servers > 0 && !view.slots.empty()));
  if (!good) throw data_loss("the coordinator has sent a view of the servers that makes no sense");
  return view;
}

}  // namespace trireme
