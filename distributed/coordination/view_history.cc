#include "distributed/coordination/view_history.h"

#include <utility>

#include "core/base/error.h"
#include "distributed/coordination/directory_messages.h"
#include "distributed/coordination/view_digest.h"
#include "proto/directory_service.pb.h"

namespace trireme {
namespace {

// More different bases than this at a time are not worth their memory.
constexpr size_t kMostMessages = 64;

size_t at(int index) { return static_cast<size_t>(index); }

ViewHistory::Bytes to_bytes(const directory::View& message) {
  return std::make_shared<const std::string>(message.SerializeAsString());
}

}  // namespace

// ---- the sender

bool ViewHistory::update(const ServerView& view, const std::string& session, int workers) {
  const int64_t next = revision_ + 1;
  bool changed = workers != workers_ || revision_ == 0;
  if (revision_ == 0 || view.servers.size() != view_.servers.size() ||
      view.slots.size() != view_.slots.size() ||
      view.slot_of_shard.size() != view_.slot_of_shard.size()) {
    view_ = view;
    view_.session = session;
    entries_ = digest_of_entries(view_);
    structure_changed_ = next;
    server_changed_.assign(view.servers.size(), next);
    slot_changed_.assign(view.slots.size(), next);
    place_changed_.assign(view.slot_of_shard.size(), next);
    changed = true;
  }
  for (size_t i = 0; i < view.servers.size(); ++i) {
    if (view.servers[i] == view_.servers[i]) continue;
    entries_ += digest_of(view.servers[i]) - digest_of(view_.servers[i]);
    view_.servers[i] = view.servers[i];
    server_changed_[i] = next;
    changed = true;
  }
  for (size_t i = 0; i < view.slots.size(); ++i) {
    if (view.slots[i] == view_.slots[i]) continue;
    const int index = static_cast<int>(i);
    entries_ += digest_of(view.slots[i], index) - digest_of(view_.slots[i], index);
    view_.slots[i] = view.slots[i];
    slot_changed_[i] = next;
    changed = true;
  }
  for (size_t i = 0; i < view.slot_of_shard.size(); ++i) {
    if (view.slot_of_shard[i] == view_.slot_of_shard[i]) continue;
    const int index = static_cast<int>(i);
    entries_ += digest_of_place(index, view.slot_of_shard[i]) -
                digest_of_place(index, view_.slot_of_shard[i]);
    view_.slot_of_shard[i] = view.slot_of_shard[i];
    place_changed_[i] = next;
    changed = true;
  }
  changed = changed || view.number != view_.number || view.move != view_.move;
  if (!changed) return false;
  view_.number = view.number;
  view_.move = view.move;
  workers_ = workers;
  revision_ = next;
  messages_.clear();
  return true;
}

ViewHistory::Bytes ViewHistory::message_since(int64_t base) {
  TRIREME_CHECK(revision_ > 0 && base >= 0 && base <= revision_, "a view of revision ", base,
                " of ", revision_);
  // A view with another number of entries shares nothing with this one.
  if (base < structure_changed_) base = 0;
  const auto found = messages_.find(base);
  if (found != messages_.end()) return found->second;
  const Bytes made = base == 0 ? whole() : change_since(base);
  if (messages_.size() < kMostMessages) messages_.emplace(base, made);
  return made;
}

void ViewHistory::begin_message(directory::View* message) const {
  message->set_number(view_.number);
  message->set_workers(workers_);
  message->set_revision(revision_);
  message->set_digest(entries_ + digest_of_rest(view_));
  if (view_.move) to_message(*view_.move, message->mutable_move());
}

ViewHistory::Bytes ViewHistory::whole() const {
  directory::View message;
  to_message(view_, &message);
  begin_message(&message);
  return to_bytes(message);
}

ViewHistory::Bytes ViewHistory::change_since(int64_t base) const {
  directory::View message;
  begin_message(&message);
  message.set_base(base);
  for (size_t i = 0; i < server_changed_.size(); ++i) {
    if (server_changed_[i] > base) to_message(view_.servers[i], message.add_servers());
  }
  for (size_t i = 0; i < slot_changed_.size(); ++i) {
    if (slot_changed_[i] > base) {
      to_message(view_.slots[i], static_cast<int>(i), message.add_slots());
    }
  }
  for (size_t i = 0; i < place_changed_.size(); ++i) {
    if (place_changed_[i] <= base) continue;
    directory::ShardPlace* place = message.add_places();
    place->set_shard(static_cast<int>(i));
    place->set_slot(view_.slot_of_shard[i]);
  }
  return to_bytes(message);
}

// ---- the receiver

bool ViewReplica::apply(const directory::View& message) {
  if (message.base() != 0) {
    if (apply_change(message)) return true;
    *this = {};
    return false;
  }
  view_ = to_view(message);
  entries_ = digest_of_entries(view_);
  revision_ = message.revision();
  if (revision_ < 1 || entries_ + digest_of_rest(view_) != message.digest()) {
    throw data_loss("the coordinator has sent a view of the servers whose digest is another one");
  }
  return true;
}

bool ViewReplica::apply_change(const directory::View& message) {
  if (message.base() != revision_ || message.revision() <= revision_) return false;
  for (const directory::Server& entry : message.servers()) {
    if (entry.index() < 0 || at(entry.index()) >= view_.servers.size()) return false;
    ServerEntry& server = view_.servers[at(entry.index())];
    entries_ -= digest_of(server);
    server = to_server(entry);
    entries_ += digest_of(server);
  }
  for (const directory::Slot& entry : message.slots()) {
    if (entry.index() < 0 || at(entry.index()) >= view_.slots.size()) return false;
    SlotEntry& slot = view_.slots[at(entry.index())];
    entries_ -= digest_of(slot, entry.index());
    slot = to_slot(entry);
    entries_ += digest_of(slot, entry.index());
  }
  for (const directory::ShardPlace& place : message.places()) {
    if (place.shard() < 0 || at(place.shard()) >= view_.slot_of_shard.size()) return false;
    int& slot = view_.slot_of_shard[at(place.shard())];
    entries_ -= digest_of_place(place.shard(), slot);
    slot = place.slot();
    entries_ += digest_of_place(place.shard(), slot);
  }
  view_.number = message.number();
  view_.move.reset();
  if (message.has_move()) view_.move = to_move(message.move());
  if (entries_ + digest_of_rest(view_) != message.digest()) return false;
  revision_ = message.revision();
  return makes_sense(view_);
}

}  // namespace trireme
