// The dialling side over gRPC; see ps/protocol/rpc.h.
#pragma once

#include <memory>

#include "ps/protocol/grpc_stream.h"
#include "ps/protocol/pending_calls.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/shm_stream.h"

namespace trireme::ps {

std::shared_ptr<RpcConnection> connect_grpc(const ConnectOptions& options);

}  // namespace trireme::ps
