#include "ps/protocol/rpc.h"

#include "ps/protocol/grpc_client.h"
#include "ps/protocol/grpc_server.h"

namespace trireme::ps {

std::unique_ptr<RpcServer> make_rpc_server(const RpcServerOptions& options,
                                           RequestHandler handler) {
  return make_grpc_server(options, std::move(handler));
}

std::shared_ptr<RpcConnection> connect_rpc(const ConnectOptions& options) {
  return connect_grpc(options);
}

}  // namespace trireme::ps
