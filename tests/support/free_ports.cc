#include "tests/support/free_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "core/base/error.h"

namespace trireme::testing {
namespace {

// Binds `port`, or one that the system chooses for 0; returns it, or 0 when it is taken.
int bind_port(int fd, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

int free_ports(int count) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::vector<int> sockets;
    int first = 0;
    bool all = true;
    for (int i = 0; i < count && all; ++i) {
      sockets.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const int port = first + i > 65535 ? 0 : bind_port(sockets.back(), i == 0 ? 0 : first + i);
      all = port > 0;
      if (i == 0) first = port;
    }
    for (const int fd : sockets) close(fd);
    if (all) return first;
  }
  throw Error(ErrorCode::kUnavailable, str_cat("found no ", count, " free ports in a row"));
}

}  // namespace trireme::testing
