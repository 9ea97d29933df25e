// GPU kernels of our own: found by name in what nvcc made of kernels/*.cu, or compiled from a
// generated source. Private to core/device/cuda.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/device/cuda/cuda_device.h"

namespace trireme::cuda {

struct LaunchShape {
  uint32_t grid_x = 1, grid_y = 1, grid_z = 1;
  uint32_t block_x = 256, block_y = 1, block_z = 1;
  uint32_t shared_bytes = 0;
};

// Enough blocks of 256 threads for `count` elements when a thread takes `per_thread` of them, at
// most some waves of what the card runs at once: kernels loop with a stride of the whole grid.
LaunchShape spread(const CudaDevice& device, int64_t count, int per_thread = 1);

class Kernel {
 public:
  Kernel() = default;
  // Of kernels/*.cu, where every kernel is extern "C". Loads its image at the first call for any
  // card. Throws Error{kInternal} when there is none of that name.
  explicit Kernel(std::string_view name);
  explicit Kernel(CUkernel kernel) : kernel_(kernel) {}

  // Enqueues. `args` must have exactly the kernel's parameter types: pass values by the type that
  // the kernel declares.
  template <typename... Args>
  void launch(CudaStream& stream, const LaunchShape& shape, const Args&... args) const {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&args))..., nullptr};
    launch_raw(stream, shape, addresses);
  }
  void launch_raw(CudaStream& stream, const LaunchShape& shape, void** arguments) const;

 private:
  CUkernel kernel_ = nullptr;
};

// The kernel `name` of a CUDA C++ source, compiled by NVRTC for the device's card, kept by source
// and card for the life of the process. Throws Error{kInternal} with the compiler's log.
Kernel compile_kernel(const CudaDevice& device, std::string_view name, const std::string& source);

// The same as machine code (PTX for a card newer than the toolkit), not loaded; no card is needed.
std::string compile_source(int compute_capability, std::string_view name,
                           const std::string& source);

// "add_f32" for ("add", kFloat32).
std::string kernel_name(std::string_view base, DType dtype);

}  // namespace trireme::cuda
