#include "distributed/connection/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "core/base/error.h"

namespace trireme {
namespace {

const sockaddr_in& v4(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_in&>(address);
}
const sockaddr_in6& v6(const sockaddr_storage& address) {
  return reinterpret_cast<const sockaddr_in6&>(address);
}

}  // namespace

std::string AddressList::resolve(const std::string& host, const std::string& port, bool passive) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  const int status = getaddrinfo(host.c_str(), port.c_str(), &hints, &first);
  return status == 0 ? "" : gai_strerror(status);
}

std::pair<std::string, std::string> split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    throw invalid_argument("expected the address of a peer as host:port, found \"", address, "\"");
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return {host, address.substr(colon + 1)};
}

std::string join_address(const std::string& host, int port) {
  const bool bare_v6 = host.find(':') != std::string::npos && host.front() != '[';
  return str_cat(bare_v6 ? "[" : "", host, bare_v6 ? "]:" : ":", port);
}

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return (ntohl(v4(address).sin_addr.s_addr) >> 24) == 127;
  }
  if (address.ss_family != AF_INET6) return false;
  const in6_addr& v6_address = v6(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6_address) ||
         (IN6_IS_ADDR_V4MAPPED(&v6_address) && v6_address.s6_addr[12] == 127);
}

int port_of(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6 ? v6(address).sin6_port : v4(address).sin_port);
}

std::string host_to_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address.ss_family == AF_INET6) {
    const in6_addr& host = v6(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&host)) {
      inet_ntop(AF_INET, host.s6_addr + 12, text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &host, text, sizeof text);
    }
  } else if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &v4(address).sin_addr, text, sizeof text);
  }
  return text;
}

std::string to_text(const sockaddr_storage& address) {
  return join_address(host_to_text(address), port_of(address));
}

void set_socket_options(int fd, int user_timeout_ms) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (user_timeout_ms <= 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}

}  // namespace trireme
