// The client's end of a connection to a port of an Acceptor.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "distributed/connection/pending_stream.h"

namespace trireme {

struct DialOptions {
  std::string address;  // "host:port"
  Security security;
  std::string job_id;
  std::string name;  // for messages: "the coordinator at n1:2222"; empty: the address
  // Nobody listens there yet, or has no time: it is tried again until then.
  std::chrono::steady_clock::time_point deadline;
  bool once = false;  // one try of each address, whatever the deadline
  // See AcceptorOptions.
  std::chrono::milliseconds user_timeout{0};
  // Called before each try and some times a second while one lasts; may throw to end them.
  std::function<void()> check = nullptr;
};

// A descriptor for gRPC, non-blocking: the peer has proved that it knows the job's secret, and this
// end has proved it to the peer. Throws Error{kUnavailable} at the deadline, naming the address and
// the last cause; kInvalidArgument when one end refuses the other, with its sentence, or when what
// listens there is no server of this version; kResourceExhausted at a limit of this process.
int dial(const DialOptions& options);

}  // namespace trireme
