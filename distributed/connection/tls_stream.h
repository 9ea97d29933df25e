// A connection through TLS before gRPC has it. Private to this folder.
#pragma once

#include <memory>
#include <string>

#include "distributed/connection/pending_stream.h"
#include "distributed/connection/tls_identity.h"

namespace trireme {

// Takes the descriptor. `dialled`: what the peer's certificate must name; "": it dialled us.
std::unique_ptr<PendingStream> make_tls_stream(int socket,
                                               std::shared_ptr<const TlsIdentity> identity,
                                               const std::string& peer, const std::string& dialled);

}  // namespace trireme
