// Kernels that only the tests of the fake use. This file, compiled with TRIREME_FAKE_MODULE, also
// gives all kernels of the library to the fake driver.
#include "core/device/cuda/kernels/portable.cuh"

using namespace trireme::cuda;

TRIREME_KERNEL(test_add_one, (const float* from, float* to, int64_t count)) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) to[i] = from[i] + 1;
}

TRIREME_KERNEL(test_fill, (float* to, int64_t count, float value)) {
  for (int64_t i = global_thread(); i < count; i += global_threads()) to[i] = value;
}

// One sum, and one maximum, a block.
TRIREME_KERNEL(test_block_reduce, (const float* from, float* sums, float* maxima)) {
  const float value = from[global_thread()];
  const float sum = block_sum(value), maximum = block_max(value, -INFINITY);
  // Every thread has the result.
  if (threadIdx.x == blockDim.x - 1) {
    sums[blockIdx.x] = sum;
    maxima[blockIdx.x] = maximum;
  }
}

TRIREME_KERNEL(test_barrier_divergence, (int32_t leaving)) {
  if (static_cast<int32_t>(threadIdx.x) < leaving) return;
  __syncthreads();
}

TRIREME_KERNEL(test_shuffle_divergence, (float* to, int32_t leaving)) {
  if (static_cast<int32_t>(threadIdx.x) < leaving) return;
  to[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}

// Thread i reads what its neighbour wrote, with and without waiting for it.
TRIREME_KERNEL(test_neighbours, (int32_t * to, int32_t wait)) {
  __shared__ int32_t all[256];
  all[threadIdx.x] = static_cast<int32_t>(threadIdx.x);
  if (wait) __syncthreads();
  to[threadIdx.x] = all[(threadIdx.x + 1) % blockDim.x];
}

TRIREME_KERNEL(test_round, (const float* from, Half* half, BFloat16* bfloat, float* back)) {
  const int64_t i = global_thread();
  half[i] = from_compute<Half>(from[i]);
  bfloat[i] = from_compute<BFloat16>(from[i]);
  back[2 * i] = to_compute(half[i]);
  back[2 * i + 1] = to_compute(bfloat[i]);
}

TRIREME_KERNEL(test_load_vector, (const float* from, float* to)) {
  const auto four = *reinterpret_cast<const Vector<float, 4>*>(from);
  *to = four.at[0] + four.at[3];
}
