// Which devices a program works with, as a user says it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/device/cuda/cuda.h"
#include "core/device/device.h"

namespace trireme {

struct DeviceOptions {
  std::string kind = "cpu";  // "cpu", "reference" or "gpu"
  int cpu_devices = 1;       // virtual ones, of the kinds cpu and reference
  CudaOptions gpu;
};

// With "gpu": "/device:GPU:0" …, and "/device:CPU:0" for what only the host can do. Throws
// Error{kInvalidArgument}, one line, when a kind is not known or no GPU can be used: what is
// missing (driver, card, build) and what to do.
std::shared_ptr<DeviceSet> make_devices(const DeviceOptions& options);

// Those that a model can be spread over: GPUs where there are any, without the CPU beside them.
std::vector<std::string> computing_devices(const DeviceSet& devices);

}  // namespace trireme
