// What tests ask of the views of a job's parameter servers.
#pragma once

#include <algorithm>

#include "distributed/coordination/server_view.h"

namespace trireme::testing {

// Of a job with two replicas: one server may die, and nothing is lost.
inline bool has_all_backups(const ServerView& view) {
  return std::ranges::all_of(view.slots, [](const SlotEntry& slot) {
    return slot.primary >= 0 && slot.backup >= 0 && slot.backup_in_sync;
  });
}

}  // namespace trireme::testing
