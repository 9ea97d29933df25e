// What every kernel includes first: element types, indices, block-wide sums, faults. Kernels are
// written in the part of CUDA C++ that this file gives, so that tests can also compile them for the
// host and run them there thread by thread (tests/support/fake_cuda).
//
// The rules for a kernel:
//   - TRIREME_KERNEL(name, (parameters)) { … } declares it: extern "C", __global__, and known by
//   name
//     to the host build. No templates across it: give a template function and one kernel an element
//     type (TRIREME_KERNELS_OF_FLOATS).
//   - Of CUDA only: threadIdx, blockIdx, blockDim, gridDim, __shared__ arrays of constant size,
//     __syncthreads(), __shfl_xor_sync/__shfl_down_sync/__shfl_sync with all 32 lanes, atomicAdd on
//     float, double, int and unsigned, atomicCAS, atomicMax on unsigned, <math.h> functions,
//     16-byte loads through Vector<T, N>.
//   - Elements of 16 bits are computed in float: to_compute(), from_compute<T>().
//   - Loops go with a stride of the whole grid; counts are int64_t.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define TRIREME_DEVICE __device__ __forceinline__
#define TRIREME_KERNEL(name, parameters) extern "C" __global__ void name parameters

namespace trireme::cuda {
using Half = __half;
using BFloat16 = __nv_bfloat16;
TRIREME_DEVICE float to_compute(Half x) { return __half2float(x); }
TRIREME_DEVICE float to_compute(BFloat16 x) { return __bfloat162float(x); }
template <typename T>
struct FromCompute {
  static TRIREME_DEVICE T convert(T x) { return x; }
};
template <>
struct FromCompute<Half> {
  static TRIREME_DEVICE Half convert(float x) { return __float2half_rn(x); }
};
template <>
struct FromCompute<BFloat16> {
  static TRIREME_DEVICE BFloat16 convert(float x) { return __float2bfloat16_rn(x); }
};
}  // namespace trireme::cuda

#elif !defined(TRIREME_DEVICE)
#error "compile this with nvcc, or for the host with -include of the header that emulates CUDA C++"
#endif

namespace trireme::cuda {

template <typename T>
TRIREME_DEVICE T to_compute(T x) {
  return x;
}
template <typename T, typename From>
TRIREME_DEVICE T from_compute(From x) {
  return FromCompute<T>::convert(x);
}
// float for the 16-bit floats, else T.
template <typename T>
using Compute = decltype(to_compute(T{}));

// N elements that are loaded and stored as one. REQUIRES: addresses aligned to its size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
  T at[N];
};

TRIREME_DEVICE int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
TRIREME_DEVICE int64_t global_threads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// The same layout as trireme::cuda::Fault of the host.
struct DeviceFault {
  uint32_t site, reserved;
  int64_t position, value, limit;
};
// The first one stays.
TRIREME_DEVICE void report_fault(DeviceFault* fault, uint32_t site, int64_t position, int64_t value,
                                 int64_t limit) {
  if (atomicCAS(&fault->site, 0u, site) == 0u) {
    fault->position = position;
    fault->value = value;
    fault->limit = limit;
  }
}

// Reductions over the block; every thread of the block calls, and every thread gets the result.
// REQUIRES: blockDim.x a multiple of 32, at most 1024, and blockDim.y == blockDim.z == 1.
template <typename T, typename Join>
TRIREME_DEVICE T block_reduce(T value, T neutral, Join join) {
  __shared__ T parts[32];
  for (int step = 16; step > 0; step /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();  // a call before this one may still read
  if (lane == 0) parts[warp] = value;
  __syncthreads();
  value = lane < blockDim.x / 32 ? parts[lane] : neutral;
  for (int step = 16; step > 0; step /= 2)
    value = join(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}
template <typename T>
TRIREME_DEVICE T block_sum(T value) {
  return block_reduce(value, T{}, [](T a, T b) { return a + b; });
}
template <typename T>
TRIREME_DEVICE T block_max(T value, T lowest) {
  return block_reduce(value, lowest, [](T a, T b) { return a < b ? b : a; });
}

}  // namespace trireme::cuda
