#include "distributed/collective/nccl/staged_collective.h"

#include "core/device/cuda/cuda.h"

namespace trireme {

StagedCollective::StagedCollective(Device& device, Communicator& host,
                                   std::chrono::milliseconds timeout)
    : DeviceCollective(timeout), device_(device), host_(host) {}

StagedCollective::~StagedCollective() = default;

std::string StagedCollective::description() const {
  return "through pinned memory: " + host_.description();
}

StagedCollective::Stage& StagedCollective::stage(const DeviceReduction& what) {
  const size_t bytes = static_cast<size_t>(what.count) * size_of(what.dtype);
  for (Stage& known : stages_) {
    if (known.what.label == what.label && known.what.count == what.count &&
        known.what.dtype == what.dtype) {
      return known;
    }
  }
  stages_.push_back({this, what, device_.allocate_staging(bytes)});
  return stages_.back();
}

void StagedCollective::all_reduce(const DeviceReduction& what, Stream& stream) {
  throw_if_aborted();
  if (what.count == 0 || host_.size() == 1) return;
  Stage& mine = stage(what);
  mine.what = what;
  const size_t bytes = static_cast<size_t>(what.count) * size_of(what.dtype);
  stream.copy(mine.pinned->data(), what.data, bytes, CopyKind::kDeviceToHost);
  cuda_call_host(stream, &StagedCollective::run, &mine);
  stream.copy(what.data, mine.pinned->data(), bytes, CopyKind::kHostToDevice);
}

// On a thread of the driver, which must not be thrown through, and on which no call of CUDA is
// allowed. After the first failure the rest of the step passes through quickly; settle() tells.
void StagedCollective::run(void* stage) noexcept {
  const Stage& mine = *static_cast<Stage*>(stage);
  StagedCollective& self = *mine.owner;
  if (self.host_.fault()) return;
  try {
    self.host_.set_label(*mine.what.label, self.step());
    self.host_.all_reduce({mine.pinned->data(), mine.what.count, mine.what.dtype}, mine.what.op,
                          mine.what.summation);
  } catch (...) {
    // The communicator keeps it; poll() finds it.
  }
}

std::optional<Error> StagedCollective::poll() { return host_.fault(); }

void StagedCollective::stop() noexcept {
  if (auto cause = fault()) host_.abort(*cause);
}

}  // namespace trireme
