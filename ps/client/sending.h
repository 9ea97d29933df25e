// What a RetryingSender knows of a request that is under way. Private to ps/client.
#pragma once

#include <string>
#include <utility>

#include "ps/client/retrying_sender.h"

namespace trireme::ps {

struct RetryingSender::Sending {
  explicit Sending(OutgoingRequest outgoing) : request(std::move(outgoing)) {}

  const OutgoingRequest request;
  const Clock::time_point begun = Clock::now();
  // Under the sender's lock.
  bool finished = false;
  bool under_way = false;
  bool needs_keys = false;
  int64_t epoch = 0;  // that it was sent to last
  int attempts = 0;
  Clock::time_point next{};  // not to be sent again before
  std::string refusal;       // what a server said last
  int not_found = 0;
};

}  // namespace trireme::ps
