// Fills memory: zeros, and one value for all elements.
#include "core/device/cuda/kernels/portable.cuh"

using namespace trireme::cuda;

TRIREME_KERNEL(fill_bytes, (uint8_t * to, int64_t count, uint8_t value)) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) to[i] = value;
}
