#include "distributed/cluster/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "core/base/error.h"

namespace trireme::cluster {
namespace {

struct AddressesDeleter {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

Addresses look_up(const std::string& host, int flags = 0) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  // Any port will do; 9 is the one for discarding.
  if (getaddrinfo(host.c_str(), "9", &hints, &found) != 0) return nullptr;
  return Addresses(found);
}

std::string numeric(const sockaddr* address, socklen_t size) {
  char text[NI_MAXHOST];
  if (getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return "";
  return text;
}

// With or without a zone: "fe80::1%eth0".
bool is_ipv6(std::string_view host) {
  in6_addr address{};
  return host.find(':') != host.npos &&
         inet_pton(AF_INET6, std::string(host.substr(0, host.find('%'))).c_str(), &address) == 1;
}

void refuse_url(std::string_view text, const std::string& name) {
  const size_t scheme = text.find("://");
  if (scheme == text.npos) return;
  throw invalid_argument(name, ": expected an address without a URL scheme, found '", text,
                         "': leave '", text.substr(0, scheme + 3), "' out");
}

}  // namespace

std::string parse_host(std::string_view text, const std::string& name) {
  const auto fail = [&](const auto&... why) {
    return invalid_argument(name, ": ", why..., ", found '", text, "'");
  };
  refuse_url(text, name);
  const bool bracketed = text.starts_with('[') && text.ends_with(']');
  std::string_view host = bracketed ? text.substr(1, text.size() - 2) : text;
  if (host.empty()) throw fail("expected a host");
  for (const char c : host) {
    if (static_cast<unsigned char>(c) > ' ' && std::string_view("/,;[]\"'@").find(c) == host.npos)
      continue;
    throw fail("expected one host name or address, without blanks, commas or slashes");
  }
  if (is_ipv6(host)) return std::string(host);
  if (bracketed) throw fail("expected an IPv6 address in the brackets");
  if (host.find(':') == host.npos) return std::string(host);
  if (std::ranges::count(host, ':') == 1) throw fail("expected a host without a port");
  throw fail("expected a host, or an IPv6 address");
}

HostPort parse_host_port(std::string_view text, const std::string& name) {
  refuse_url(text, name);
  const size_t colon = text.rfind(':');
  const bool has_port = colon != std::string_view::npos && text.back() != ']';
  if (!has_port || colon == 0) {
    throw invalid_argument(name, ": expected host:port, found '", text, "'");
  }
  const std::string_view before = text.substr(0, colon);
  if (before.find(':') != before.npos && !before.starts_with('[')) {
    throw invalid_argument(name, ": expected brackets around an IPv6 address, as in [",
                           is_ipv6(before) ? before : "fd00::1", "]:2222, found '", text, "'");
  }
  const std::string_view digits = text.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535) {
    throw invalid_argument(name, ": expected a port from 1 to 65535, found '", digits, "' in '",
                           text, "'");
  }
  return {parse_host(before, name), port};
}

std::string to_string(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return str_cat(v6 ? "[" : "", address.host, v6 ? "]:" : ":", address.port);
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  // 127.x.y.z, but not a host that is called 127.example.org.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

bool is_wildcard(std::string_view host) { return host == "0.0.0.0" || host == "::" || host == "*"; }

std::string numeric_address(const std::string& host) {
  const Addresses addresses = look_up(host);
  return addresses ? numeric(addresses->ai_addr, addresses->ai_addrlen) : "";
}

std::string full_name(const std::string& host) {
  const Addresses addresses = look_up(host, AI_CANONNAME);
  return addresses && addresses->ai_canonname != nullptr ? addresses->ai_canonname : host;
}

std::string local_address_towards(const std::string& host) {
  const Addresses addresses = look_up(host);
  for (const addrinfo* next = addresses.get(); next != nullptr; next = next->ai_next) {
    // Connecting a datagram socket chooses the route and with it the own address; it sends nothing.
    const int fd = socket(next->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    auto* address = reinterpret_cast<sockaddr*>(&own);
    const bool found =
        connect(fd, next->ai_addr, next->ai_addrlen) == 0 && getsockname(fd, address, &size) == 0;
    close(fd);
    if (found) return numeric(address, size);
  }
  return "";
}

std::string first_interface_address() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(all, freeifaddrs);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* next = all; next != nullptr; next = next->ifa_next) {
      if (next->ifa_addr == nullptr || next->ifa_addr->sa_family != family) continue;
      if ((next->ifa_flags & IFF_UP) == 0 || (next->ifa_flags & IFF_LOOPBACK) != 0) continue;
      if (family == AF_INET) return numeric(next->ifa_addr, sizeof(sockaddr_in));
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(next->ifa_addr);
      // Reachable on its own link only, and not without naming the interface.
      if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;
      return numeric(next->ifa_addr, sizeof(sockaddr_in6));
    }
  }
  return "";
}

}  // namespace trireme::cluster
