// GPUs for tests: of this machine, or those that the stand-in libraries of tests/support/fake_cuda
// make up where the loader finds them.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "core/device/cuda/cuda.h"

// Skips the test, saying why, where there is no GPU.
#define TRIREME_NEEDS_GPU()                                                     \
  do {                                                                          \
    const std::string problem = ::trireme::cuda_problem();                      \
    if (!problem.empty()) GTEST_SKIP() << "this test needs a GPU: " << problem; \
  } while (false)

namespace trireme::testing {

// "/device:GPU:0" … and "/device:CPU:0".
inline std::shared_ptr<DeviceSet> make_gpu_set(const CudaOptions& options = {.count = 1}) {
  auto devices = std::make_shared<DeviceSet>();
  for (auto& device : make_cuda_devices(options)) devices->add(std::move(device));
  devices->add(make_host_device("/device:CPU:0", "cpu"));
  return devices;
}

// One GPU for a whole test program: a context takes long to make.
inline const std::shared_ptr<DeviceSet>& shared_gpu_set() {
  static const std::shared_ptr<DeviceSet> devices = make_gpu_set();
  return devices;
}

}  // namespace trireme::testing
