// The accepting side over gRPC; see ps/protocol/rpc.h.
#pragma once

#include <memory>

#include "ps/protocol/grpc_stream.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/server_peer.h"

namespace trireme::ps {

std::unique_ptr<RpcServer> make_grpc_server(const RpcServerOptions& options,
                                            RequestHandler handler);

}  // namespace trireme::ps
