// The signals by which a user or a scheduler ends a task: it finishes what it does, saves and
// exits.
#pragma once

#include <vector>

namespace trireme {

// SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 (a scheduler takes the machine back) and SIGINT (a user's
// decision), but for those that this process ignores, such as SIGHUP under nohup: they stay ignored
// here and in all that it starts. SIGTERM is always among them.
std::vector<int> ending_signals();

// What a task exits with that such a signal ended: 130 after SIGINT, else 75, a restart goes on.
int exit_code_after(int signal);

}  // namespace trireme
