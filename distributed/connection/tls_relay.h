// Carries the bytes of TLS connections between the network and gRPC, which wants a descriptor with
// bytes in the clear. Private to this folder.
//
// A few threads of the process ("tls relay") serve all connections; they start with the first one.
// What is under way in them is bounded: when one side does not take bytes, none are taken from the
// other. When the network's end is closed or broken, gRPC reads what came before and then an end;
// when gRPC closes its end or shuts it down, what it wrote before is sent, for at most ten seconds,
// and the connection closed, or reset when that was not enough. At the end of the process what gRPC
// wrote is still sent, for at most two seconds, as the kernel would have sent it.
#pragma once

#include <memory>

#include "distributed/connection/tls_channel.h"

namespace trireme {

// Takes the socket, whose handshake is over. The descriptor for gRPC, which its owner closes.
// Throws Error{kResourceExhausted} when this process or machine has no descriptors left.
int start_tls_relay(int socket, std::unique_ptr<TlsChannel> channel);

}  // namespace trireme
