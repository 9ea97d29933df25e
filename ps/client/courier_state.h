// What the courier knows of a request that is under way, and of a server. Private to ps/client.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "ps/client/courier.h"

namespace trireme::ps {

// Of a connection's making: longer each time, so that one that has died meanwhile is not waited
// for.
inline constexpr std::chrono::milliseconds kFirstConnectTimeout{300};

struct Courier::Sending {
  explicit Sending(Parcel parcel) : parcel(std::move(parcel)) {}

  const Parcel parcel;
  const Clock::time_point begun = Clock::now();
  // Under the courier's lock.
  bool finished = false;
  bool under_way = false;
  bool needs_keys = false;
  int64_t epoch = 0;  // that it was sent to last
  int attempts = 0;
  Clock::time_point next{};  // not to be sent again before
  std::string refusal;       // what a server said last
  int not_found = 0;
};

struct Courier::Link {
  int server = 0;
  // Under the courier's lock.
  uint64_t incarnation = 0;
  uint64_t connection = 0;  // counts them
  std::shared_ptr<RpcConnection> data, control;
  bool broken = false;
  std::chrono::milliseconds connect_timeout = kFirstConnectTimeout;
  Clock::time_point pause{};            // not to be tried before
  std::map<int, int64_t> asked, ready;  // the epoch for which a slot was set up, or is being
  // Since when the server has owed a sign of life, which a worker that was told to stop asks for.
  std::optional<Clock::time_point> probed;
  std::thread thread;

  bool is_connected() const { return data != nullptr && !broken; }
};

}  // namespace trireme::ps
