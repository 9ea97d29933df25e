// Two ends of a TCP connection on this host that meet through TLS.
#pragma once

#include <memory>
#include <string>

#include "distributed/connection/tls.h"

namespace trireme::testing {

struct Sockets {
  int client = -1, server = -1;
};
Sockets connect_sockets();  // non-blocking, over loopback

struct Meeting {
  std::unique_ptr<PendingStream> client, server;
  // What each end says when it gives the other up; empty: it does not.
  std::string client_error, server_error;

  bool succeeded() const { return client_error.empty() && server_error.empty(); }
};

// Shakes hands, and then exchanges a word, as the ends of a connection of ours do: in TLS 1.3 a
// client learns no sooner that it is refused. Null: that end speaks in the clear, a word like
// another program's.
Meeting meet(const Encryption* client, const Encryption* server,
             const std::string& dialled = "127.0.0.1");

// After a meeting: the descriptors for gRPC.
Sockets release(Meeting& meeting);

}  // namespace trireme::testing
