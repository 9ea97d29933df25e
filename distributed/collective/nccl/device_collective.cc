#include "distributed/collective/nccl/device_collective.h"

#include <thread>

#include "core/base/error.h"
#include "core/device/cuda/cuda.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

// A step that is nearly done is waited for without sleeping; one that hangs costs no processor.
constexpr auto kSpin = std::chrono::microseconds(300);
constexpr auto kNap = std::chrono::microseconds(50);

}  // namespace

void DeviceCollective::settle(Stream& stream, const std::string& what) {
  throw_if_aborted();
  if (watch_) watch_->enter(what, step());
  const auto begin = Clock::now();
  while (!cuda_stream_idle(stream)) {
    throw_if_aborted();
    if (auto error = poll()) abort(*error);
    const auto waited = Clock::now() - begin;
    if (waited > timeout_) {
      abort(Error(ErrorCode::kDeadlineExceeded,
                  str_cat(what, " at step ", step(), ": the GPU has not finished within ",
                          std::chrono::duration_cast<std::chrono::seconds>(timeout_).count(),
                          " s; a rank is late or lost (", description(), ")")));
    }
    waited < kSpin ? std::this_thread::yield() : std::this_thread::sleep_for(kNap);
  }
  if (auto error = poll()) abort(*error);
  throw_if_aborted();
  if (watch_) watch_->leave();
}

void DeviceCollective::abort(const Error& cause) {
  {
    MutexLock lock(mutex_);
    if (fault_) return;
    fault_ = cause;
  }
  stop();
}

std::optional<Error> DeviceCollective::fault() const {
  MutexLock lock(mutex_);
  return fault_;
}

void DeviceCollective::throw_if_aborted() const {
  if (auto error = fault()) throw Error(*error);
}

std::string host_backend_of(const std::string& backend) {
  if (backend == "nccl") return "auto";
  if (backend.starts_with("nccl+")) return backend.substr(5);
  return backend;
}

}  // namespace trireme
