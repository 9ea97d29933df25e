// Which process is which on this machine, and whether it is still there.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

// When the process was started, in clock ticks since boot: with the pid it names a process for
// good. 0: there is none, or it has ended and only waits for its parent.
uint64_t process_start_time(int64_t pid);

// Whether there is no such process. False where that cannot be known: for pid 0, and without /proc.
bool process_has_ended(int64_t pid);

// Equal exactly for processes that see the same shared memory and the same process ids: of one boot
// of one machine, and in one container.
std::string shared_memory_host_id();

}  // namespace trireme
