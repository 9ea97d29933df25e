#include "distributed/coordination/server_view.h"

#include <sstream>

namespace trireme {

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
