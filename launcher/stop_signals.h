// SIGINT and SIGTERM as a wish to end: the first asks, the second ends the program at once; while a
// checkpoint is written (Uninterrupted) only the third does.
#pragma once

#include <atomic>

namespace trireme {

// From now on they are taken. Set by the first of them.
const std::atomic<bool>& take_stop_signals();
// Which it was; 0: none yet.
int stop_signal();

}  // namespace trireme
