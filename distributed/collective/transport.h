// A Transport carries bytes between the ranks of one group; algorithms make collectives of it.
//
// Messages between two ranks arrive whole and in order. One thread calls it, the communicator's,
// but for abort(). Nothing is copied that need not be: send() borrows until it returns or, for
// start_send(), until finish_sends().
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "core/base/error.h"

namespace trireme {

class Transport {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  virtual ~Transport() = default;

  virtual std::string description() const = 0;
  // Begins to send; `data` must stay as it is until finish_sends() returns.
  virtual void start_send(int to, const void* data, size_t bytes) = 0;
  // Waits until everything that was started may be overwritten.
  virtual void finish_sends(TimePoint deadline) = 0;
  // The next message of `from`, which must have `bytes`. Throws Error{kDeadlineExceeded},
  // {kUnavailable} when the peer is gone and {kDataLoss} when its message is another than was
  // expected; each names the peer.
  virtual void receive(int from, void* data, size_t bytes, TimePoint deadline) = 0;
  // From any thread: calls under way, and later ones, throw `cause`.
  virtual void abort(const Error& cause) = 0;
};

}  // namespace trireme
