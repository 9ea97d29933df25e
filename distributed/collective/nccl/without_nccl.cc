// A build without CUDA or NCCL.
#include "core/base/error.h"
#include "core/device/cuda/cuda.h"
#include "distributed/collective/nccl/device_collective.h"

namespace trireme {
namespace {

[[noreturn]] void not_built() {
  const std::string problem = cuda_problem();
  throw invalid_argument(problem.empty() ? "this trireme was built without NCCL" : problem);
}

}  // namespace

DeviceCollectives make_mirrored_collectives(std::span<Device* const>, std::chrono::milliseconds) {
  not_built();
}
std::unique_ptr<DeviceCollective> make_worker_collective(Device&, Communicator&,
                                                         const WorkerCollectiveOptions&) {
  not_built();
}

}  // namespace trireme
