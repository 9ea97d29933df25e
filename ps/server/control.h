// What is asked of a slot's primary now and then: ControlRequests of proto/ps.proto.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ps/protocol/wire.h"
#include "ps/server/slot.h"

namespace trireme::ps {

// What the server lends for it. Outlives the work.
struct ControlContext {
  std::shared_ptr<Slot> slot;
  int slots = 1;  // of the job
  const std::atomic<int64_t>& view;
  // Runs what reads or writes files, one after the other.
  std::function<void(std::function<void()>)> background;
  std::function<std::string()> metrics;
};

// Answers now or later; throws Error for a request that cannot be.
void control(const ControlContext& context, const Request& request,
             std::unique_ptr<Responder>& responder);

}  // namespace trireme::ps
