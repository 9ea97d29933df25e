// A number that two tasks compute of a ServerView, to find out whether they have the same one.
//
// It is the sum of the digests of the entries, so that a change of one entry changes it without a
// look at the others. Not against forgery: against mistakes.
#pragma once

#include <cstdint>

#include "distributed/coordination/server_view.h"

namespace trireme {

uint64_t digest_of(const ServerEntry& server);
uint64_t digest_of(const SlotEntry& slot, int index);
uint64_t digest_of_place(int shard, int slot);
// Of all else: the number, the session, the move and how many entries there are.
uint64_t digest_of_rest(const ServerView& view);
// Of all entries; with digest_of_rest() it is that of the view.
uint64_t digest_of_entries(const ServerView& view);

}  // namespace trireme
