// Signals as a wish to end (see ending_signals()): the first asks, the second ends the program at
// once; while a checkpoint is written (Uninterrupted) only the third does.
//
// A launcher passes on what it is told, and tells its tasks when one of them was told: its signal
// and another sender's count as one.
#pragma once

#include <atomic>

namespace trireme {

// From now on they are taken. Set by the first of them, or by ask_to_stop().
const std::atomic<bool>& take_stop_signals();
// Which signal it was; 0: none yet.
int stop_signal();
// As if `signal` had come from a launcher. From any thread.
void ask_to_stop(int signal);

// From now on each of them ends the program at once, with exit_code_after(): for commands that
// have nothing to save.
void end_at_stop_signals();

}  // namespace trireme
