// Views on the wire.
#pragma once

#include "distributed/coordination/server_view.h"

namespace trireme {

namespace directory {
class Report;
class Server;
class ShardMove;
class Slot;
class View;
}  // namespace directory

void to_message(const ServerEntry& server, directory::Server* message);
// Throws Error{kInvalidArgument} for a report with a number that cannot be: nothing of it counts.
void check(const directory::Report& report);
ServerEntry to_server(const directory::Server& message);
void to_message(const SlotEntry& slot, int index, directory::Slot* message);
SlotEntry to_slot(const directory::Slot& message);
void to_message(const ShardMove& move, directory::ShardMove* message);
ShardMove to_move(const directory::ShardMove& message);
void to_message(const ServerView& view, directory::View* message);
// Throws Error{kDataLoss} for a view whose parts do not fit together.
ServerView to_view(const directory::View& message);

}  // namespace trireme
