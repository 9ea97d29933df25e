// Serves /metrics to Prometheus: one thread for all clients, and bounds for what they cost.
//
// A client has 5 s for a request and 10 s to take an answer, and is cut off after that; there are
// at most 512 connections, or an eighth of the descriptors that the process may have, and a new one
// takes the place of the one that was idle for the longest.
// So silent and slow clients keep nobody from an answer. A few descriptors are held back, so that
// there are answers also when the process has none left.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "distributed/metrics/http_connection.h"
#include "distributed/metrics/metrics_address.h"

namespace trireme {

class MetricsServer {
 public:
  // `text`: the metrics in Prometheus' text format, version 0.0.4; called on the server's thread.
  // Throws Error{kInvalidArgument} naming the address when it cannot be bound.
  MetricsServer(const MetricsAddress& address, std::function<std::string()> text,
                const HttpTimes& times = {});
  ~MetricsServer();  // answers that are under way are cut off
  MetricsServer(const MetricsServer&) = delete;

  std::string address() const;  // "host:port"; with the name of this host where all are bound
  std::string url() const { return "http://" + address() + "/metrics"; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme
