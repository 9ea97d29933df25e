#include "distributed/metrics/metrics_address.h"

#include <unistd.h>

#include <array>
#include <charconv>

#include "core/base/error.h"
#include "distributed/cluster/address.h"

namespace trireme {

std::string MetricsAddress::to_string() const {
  std::array<char, 256> own{};
  const bool all = cluster::is_wildcard(host);
  const bool is_known = all && gethostname(own.data(), own.size() - 1) == 0;
  return cluster::to_string({is_known ? own.data() : host, port});
}

MetricsAddress behind(const MetricsAddress& first, int count) {
  if (first.port == 0) return first;
  if (first.port + count > 65535) {
    throw invalid_argument("/metrics: task ", count, " of this host would need port ",
                           first.port + count,
                           ", and ports end at 65535; give a smaller first one");
  }
  return {first.host, first.port + count};
}

MetricsAddress metrics_address(const MetricsAddress& first, const ClusterSpec& task) {
  const bool by_hand = task.source == "flags" || task.is_single_process();
  return by_hand || task.local_rank < 0 ? first : behind(first, task.local_rank);
}

MetricsAddress parse_metrics_address(std::string_view text, const std::string& name) {
  const size_t colon = text.ends_with(']') ? std::string_view::npos : text.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? text : text.substr(colon + 1);
  MetricsAddress address;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size() || address.port < 0 ||
      address.port > 65535) {
    throw invalid_argument(
        name, ": expected PORT or HOST:PORT with a port from 0 to 65535, found '", text, "'");
  }
  if (colon == std::string_view::npos) return address;
  const std::string_view host = text.substr(0, colon);
  if (host.find(':') != std::string_view::npos && !host.starts_with('[')) {
    throw invalid_argument(name, ": expected brackets around an IPv6 address, as in [::1]:9100, ",
                           "found '", text, "'");
  }
  address.host = cluster::parse_host(host, name);
  return address;
}

}  // namespace trireme
