// Addresses of sockets: names to be resolved, and whether one is loopback.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <string>
#include <utility>

namespace trireme {

// What a name resolves to; freed with it.
struct AddressList {
  addrinfo* first = nullptr;
  AddressList() = default;
  AddressList(const AddressList&) = delete;
  ~AddressList() {
    if (first != nullptr) freeaddrinfo(first);
  }
  // The reason when it does not resolve, else empty. `passive`: to bind.
  std::string resolve(const std::string& host, const std::string& port, bool passive);
};

// "host:port" or "[host]:port", the host without brackets. Throws Error{kInvalidArgument}.
std::pair<std::string, std::string> split_address(const std::string& address);
// The other way round, with brackets around an IPv6 address.
std::string join_address(const std::string& host, int port);

bool is_loopback(const sockaddr_storage& address);
int port_of(const sockaddr_storage& address);
std::string to_text(const sockaddr_storage& address);       // "10.0.0.2:4711", "[fd00::1]:4711"
std::string host_to_text(const sockaddr_storage& address);  // "10.0.0.2"

// For both ends of every connection: small messages go at once; where `user_timeout_ms` > 0, what
// is sent and not acknowledged for so long breaks the connection.
void set_socket_options(int fd, int user_timeout_ms);

}  // namespace trireme
