// A connection to a parameter server that behaves as bad networks do, as a seed says: requests and
// answers are lost, late, or come twice, and at last it breaks.
//
// Any thread, as RpcConnection. What is late is sent by a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "ps/protocol/rpc.h"

namespace trireme::testing {

// The probability of each for a call; the first that happens counts.
struct RpcFaults {
  uint64_t seed = 1;
  double cut = 0;           // the connection breaks: this call, those under way and all later ones
  double lose_request = 0;  // kUnavailable, and the server has not seen it
  double lose_answer = 0;   // kUnavailable, though the server has done it
  double silence = 0;       // the server has done it, and no answer comes: kDeadlineExceeded
  // These may happen to the same call, and besides the ones above.
  double twice = 0;  // the server gets it again, at once or as much later as a delay
  double delay = 0;  // it and those behind it come later
  double late_answer = 0;
  std::chrono::milliseconds longest_delay{50};
};

// What happened, over all connections that share it.
struct RpcFaultCounts {
  std::atomic<int64_t> calls = 0, cut = 0, lost_requests = 0, lost_answers = 0, silences = 0,
                       twice = 0, delays = 0, late_answers = 0;
};

std::shared_ptr<ps::RpcConnection> make_faulty_rpc(
    std::shared_ptr<ps::RpcConnection> connection, const RpcFaults& faults,
    std::shared_ptr<RpcFaultCounts> counts = nullptr);

}  // namespace trireme::testing
