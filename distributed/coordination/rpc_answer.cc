#include "distributed/coordination/rpc_answer.h"

#include <grpcpp/support/status.h>

#include "core/base/error.h"
#include "distributed/coordination/rpc_status.h"

namespace trireme {

grpc::Status answer_rpc(const std::function<void()>& call) {
  try {
    call();
    return grpc::Status::OK;
  } catch (const Error& error) {
    return to_status(error);
  } catch (const std::exception& error) {
    return to_status({ErrorCode::kInternal, error.what()});
  }
}

}  // namespace trireme
