// How many parameter servers a job may have.
#pragma once

namespace trireme {

inline constexpr int kMostServers = 1024;

// Throws Error{kInvalidArgument} for more: before any of them has started.
void check_server_count(int servers);

}  // namespace trireme
