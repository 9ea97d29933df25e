#include "distributed/cluster/address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "core/base/error.h"

namespace trireme::cluster {
namespace {

struct AddressesDeleter {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

Addresses look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
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

}  // namespace

HostPort parse_host_port(std::string_view text, const std::string& name) {
  const auto fail = [&] {
    return invalid_argument(name, ": expected host:port, found '", text, "'");
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) throw fail();
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    throw invalid_argument(name, ": expected brackets around an IPv6 address, found '", text, "'");
  }
  if (host.empty() || host.find_first_of(" \t\n/,") != std::string_view::npos) throw fail();
  const std::string_view digits = text.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port < 1 || port > 65535) {
    throw invalid_argument(name, ": expected a port from 1 to 65535, found '", digits, "' in '",
                           text, "'");
  }
  return {std::string(host), port};
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
