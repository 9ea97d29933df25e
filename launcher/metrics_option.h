// The option that asks a task for /metrics. Private to launcher/.
#pragma once

#include <optional>
#include <string>

#include "distributed/metrics/metrics_address.h"

namespace CLI {
class App;
}

namespace trireme {

inline constexpr const char* kMetricsHelp =
    "Serve Prometheus' /metrics there; without HOST on loopback; 0: any port that is free. Tasks "
    "that a launcher starts add their rank on their host to PORT";

// `names`: "--metrics", or several with commas, the first for messages. `address` is set when the
// option is given, and must outlive the command.
void add_metrics_option(CLI::App& command, const std::string& names, const std::string& help,
                        std::optional<MetricsAddress>& address);

}  // namespace trireme
