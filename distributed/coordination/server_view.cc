#include "distributed/coordination/server_view.h"

#include <algorithm>
#include <sstream>

namespace trireme {
namespace {

// Ids are made of these and of numbers that are added to them.
constexpr int64_t kMostEpochs = (int64_t{1} << 31) - 1, kMostMoves = int64_t{1} << 40;

}  // namespace

bool makes_sense(const ServerView& view) {
  const auto servers = static_cast<int>(view.servers.size());
  const auto slots = static_cast<int>(view.slots.size());
  const auto shards = static_cast<int>(view.slot_of_shard.size());
  const auto is_server_or_none = [&](int index) { return index >= -1 && index < servers; };
  const auto is_slot = [&](int slot) { return slot >= 0 && slot < slots; };
  for (int i = 0; i < servers; ++i) {
    if (view.servers[static_cast<size_t>(i)].index != i) return false;
  }
  const bool good_move = !view.move || (view.move->shard >= 0 && view.move->shard < shards &&
                                        is_slot(view.move->from) && is_slot(view.move->to) &&
                                        view.move->id >= 0 && view.move->id <= kMostMoves);
  return view.number >= 0 && (view.number == 0 || (servers > 0 && slots > 0)) && good_move &&
         std::ranges::all_of(view.slot_of_shard, is_slot) &&
         std::ranges::all_of(view.slots, [&](const SlotEntry& slot) {
           return is_server_or_none(slot.primary) && is_server_or_none(slot.backup) &&
                  slot.epoch >= 0 && slot.epoch <= kMostEpochs;
         });
}

std::string describe(const ServerView& view) {
  std::ostringstream out;
  out << "view " << view.number << "\n";
  for (const ServerEntry& server : view.servers) {
    out << "  server " << server.index << ": ";
    if (server.alive) {
      out << server.address << " on " << server.host << "\n";
    } else {
      out << (server.address.empty() ? "has not come yet" : "gone") << "\n";
    }
  }
  for (size_t i = 0; i < view.slots.size(); ++i) {
    const SlotEntry& slot = view.slots[i];
    out << "  slot " << i << ": ";
    if (slot.primary < 0) {
      out << "its server is awaited";
    } else {
      out << "server " << slot.primary;
    }
    if (slot.backup >= 0) {
      out << ", backup " << slot.backup << (slot.backup_in_sync ? "" : " (catching up)");
    }
    out << ", epoch " << slot.epoch << "\n";
  }
  if (view.move) {
    out << "  virtual shard " << view.move->shard << " goes from slot " << view.move->from
        << " to slot " << view.move->to << "\n";
  }
  return out.str();
}

}  // namespace trireme
