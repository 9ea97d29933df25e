// Names and addresses of hosts.
//
// Nothing here sends a packet but for looking up a name, which waits as long as the resolver is
// configured to.
#pragma once

#include <string>
#include <string_view>

namespace trireme::cluster {

struct HostPort {
  std::string host;  // without brackets
  int port = 0;
};

// "n1", "n1.example.org.", "10.0.0.1", "fd00::1" or "[fd00::1]", without a port: the host, without
// brackets. `name` is the flag or variable, for messages. Throws Error{kInvalidArgument} saying
// what to write when it is none of these: a URL, a host with its port, a list, blanks.
std::string parse_host(std::string_view text, const std::string& name);
// "n1:2222", "10.0.0.1:2222" or "[fd00::1]:2222". Throws as parse_host() does, and when the port is
// missing or outside 1 … 65535.
HostPort parse_host_port(std::string_view text, const std::string& name);
std::string to_string(const HostPort& address);  // with brackets around an IPv6 address

// By its text alone: "localhost", 127.x.y.z, ::1.
bool is_loopback(std::string_view host);
// "0.0.0.0", "::" and "*": fit for binding, not for telling peers.
bool is_wildcard(std::string_view host);

// The first numeric address of `host`; empty when its name does not resolve.
std::string numeric_address(const std::string& host);
// `host` with its domain, as the resolver has it; `host` itself when it does not know more.
std::string full_name(const std::string& host);
// The address from which this machine would send to `host`; empty when there is no route.
std::string local_address_towards(const std::string& host);
// The address of the first interface that is up and not loopback, IPv4 before IPv6; else empty.
std::string first_interface_address();

}  // namespace trireme::cluster
