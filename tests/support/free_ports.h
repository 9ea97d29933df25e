// Ports that nobody uses at the moment, for programs that must be told theirs.
#pragma once

namespace trireme::testing {

// The first of `count` TCP ports in a row that can be bound on every address now. The system gives
// the first, so that tests that run side by side hardly meet.
int free_ports(int count = 1);

}  // namespace trireme::testing
