// What this process wants of gRPC as a whole.
#pragma once

namespace trireme {

// Before gRPC is used, by whoever uses it; again does no harm. Any thread.
//
// Debian builds Abseil with the search for lock cycles switched on, which keeps a graph of all
// mutexes behind one lock: a fifth of the time of a coordinator with thousands of connections.
void set_up_grpc();

}  // namespace trireme
