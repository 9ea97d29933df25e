// A task's way to the coordinator.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "distributed/connection/pending_stream.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace trireme {

class Connection;

// Where the coordinator is, and what proves that a task is one of its job's.
struct CoordinatorTarget {
  std::string address;
  Security security;
  std::string job_id;
};

// A channel with a connection of its own, which ends with the channel. It never connects again:
// when `connection` is over, a new line is needed.
struct CoordinatorLine {
  std::shared_ptr<grpc::Channel> channel;
  std::shared_ptr<Connection> connection;
};

// Waits until the coordinator answers, whose host name may not be known yet, and says every few
// seconds on standard error what it waits for. `give_up` (null: never) is asked some times a
// second; no channel when it says so. Throws Error{kInvalidArgument} when the name does not resolve
// in time or the coordinator refuses this task, kUnavailable when nobody answers.
CoordinatorLine connect_to_coordinator(const CoordinatorTarget& target,
                                       std::chrono::milliseconds timeout,
                                       const std::function<bool()>& give_up = nullptr);
// One try, after a line has broken. Throws as above.
CoordinatorLine connect_again(const CoordinatorTarget& target);

// Until the host name of `address` resolves.
void wait_for_name(const std::string& address, std::chrono::milliseconds timeout);

// What to say when nobody was there for so long.
Error no_coordinator(const std::string& address, std::chrono::milliseconds waited);

}  // namespace trireme
