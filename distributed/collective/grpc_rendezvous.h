// How the members of a group that communicates over gRPC find each other: two at a time, when one
// of them first needs the other.
//
// Made by the endpoint for one group, owned by its transport; used by that one's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/cluster/peer.h"
#include "distributed/collective/segment_stream.h"

namespace trireme {

class GrpcRendezvous {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  virtual ~GrpcRendezvous() = default;

  virtual const Group& group() const = 0;
  // The streams to this member, by channel, once both sides have agreed; empty until then: to be
  // called again when is_ready(), or after a moment. The member with the higher index dials, which
  // takes as long as TCP does, but no longer than `deadline`; meanwhile `check` is called, and may
  // throw. Throws Error{kUnavailable} and {kInvalidArgument} naming the member, when it refuses or
  // cannot be found.
  virtual std::vector<std::shared_ptr<SegmentStream>> connect(
      int member, TimePoint deadline, const std::function<void()>& check) = 0;
  virtual bool is_ready(int member) = 0;
  // Asks a member that is to dial, and has not, to do so when it next waits: it may wait for others
  // first, and can say for whom only to members that it knows. Takes a moment; never fails.
  virtual void invite(int member) = 0;
  // Who has dialled this member since the last call, if only to invite it: to be met when this one
  // waits, though it does not need them yet, since they may wait for it.
  virtual std::vector<int> take_invitations() = 0;
  virtual bool is_invited() const = 0;
  // Why the last attempt to dial failed, for messages; empty: none did.
  virtual const std::string& problem() const = 0;
  // The group is over here: cancels what connect() has not given, and refuses members that dial
  // later with this cause.
  virtual void end(const Error& why) = 0;
};

}  // namespace trireme
