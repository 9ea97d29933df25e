#include "ps/protocol/rpc.h"

#include "ps/protocol/grpc_client.h"
#include "ps/protocol/grpc_server.h"

namespace trireme::ps {

size_t OutMessage::bytes() const {
  size_t sum = 0;
  for (const Message& piece : pieces) sum += piece.bytes.size();
  return sum;
}

Message own(std::vector<std::byte> bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::span<const std::byte> view = *owner;
  return {std::move(owner), view};
}

std::unique_ptr<RpcServer> make_rpc_server(const RpcServerOptions& options,
                                           RequestHandler handler) {
  return make_grpc_server(options, std::move(handler));
}

std::shared_ptr<RpcConnection> connect_rpc(const ConnectOptions& options) {
  return connect_grpc(options);
}

}  // namespace trireme::ps
