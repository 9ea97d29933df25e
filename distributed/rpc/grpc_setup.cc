#include "distributed/rpc/grpc_setup.h"

#include <absl/synchronization/mutex.h>

namespace trireme {

void set_up_grpc() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

}  // namespace trireme
