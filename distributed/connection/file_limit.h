// How many files and sockets this process may have open.
#pragma once

#include <cstddef>

namespace trireme {

// Kept from connections, for checkpoints, data files and logs.
inline constexpr size_t kReservedDescriptors = 64;

// Raises the soft limit to the hard one, since every task has connections in the number of its
// peers and 1,024 is a limit for programs that use select(). Call early in main().
void raise_file_limit();
size_t file_limit();  // the soft limit

// Whether a descriptor with this number leaves fewer than the reserved ones: the system gives the
// lowest number that is free, so all below are in use.
bool is_short_of_descriptors(int fd);

}  // namespace trireme
