// Layer normalisation, a block a row; the sums of the gradient down
// the columns are added in a fixed order.
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {

TRIREME_DEVICE float sum_of_block(float x) { return block_sum(x); }

// A block a row.
template <typename T>
TRIREME_DEVICE void layer_norm(const T* x, const float* gamma, const float* beta, T* y, float* mean,
                               float* factor, int64_t rows, int64_t channels, double epsilon) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* const from = x + row * channels;
    float sum = 0;
    for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) sum += to_compute(from[c]);
    const float middle = sum_of_block(sum) / static_cast<float>(channels);
    float squares = 0;
    for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
      const float centred = to_compute(from[c]) - middle;
      squares += centred * centred;
    }
    const float variance = sum_of_block(squares) / static_cast<float>(channels);
    const float r = 1 / sqrtf(variance + static_cast<float>(epsilon));
    for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
      y[row * channels + c] =
          from_compute<T>((to_compute(from[c]) - middle) * r * gamma[c] + beta[c]);
    }
    if (threadIdx.x == 0) {
      mean[row] = middle;
      factor[row] = r;
    }
  }
}

// dx of the rows; a block a row. dx may be dy.
template <typename T>
TRIREME_DEVICE void layer_norm_grad_rows(const T* dy, const T* x, const float* gamma,
                                         const float* mean, const float* factor, T* dx,
                                         int64_t rows, int64_t channels) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int64_t at = row * channels;
    const float middle = mean[row], r = factor[row];
    float sum = 0, weighted = 0;
    for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
      const float g = to_compute(dy[at + c]) * gamma[c];
      sum += g;
      weighted += g * (to_compute(x[at + c]) - middle) * r;
    }
    sum = sum_of_block(sum) / static_cast<float>(channels);
    weighted = sum_of_block(weighted) / static_cast<float>(channels);
    for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
      const float x_hat = (to_compute(x[at + c]) - middle) * r;
      dx[at + c] =
          from_compute<T>(r * (to_compute(dy[at + c]) * gamma[c] - sum - x_hat * weighted));
    }
  }
}

// dgamma and dbeta: block x has 32 channels, and each of its warps every eighth row.
template <typename T>
TRIREME_DEVICE void layer_norm_grad_channels(const T* dy, const T* x, const float* mean,
                                             const float* factor, float* dgamma, float* dbeta,
                                             int64_t rows, int64_t channels) {
  constexpr int kWarps = 8;
  __shared__ float gammas[kWarps][33], betas[kWarps][33];
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t c = static_cast<int64_t>(blockIdx.x) * 32 + lane;
  float gamma = 0, beta = 0;
  if (c < channels) {
    for (int64_t row = warp; row < rows; row += kWarps) {
      const float upstream = to_compute(dy[row * channels + c]);
      gamma += upstream * (to_compute(x[row * channels + c]) - mean[row]) * factor[row];
      beta += upstream;
    }
  }
  gammas[warp][lane] = gamma;
  betas[warp][lane] = beta;
  __syncthreads();
  if (warp != 0 || c >= channels) return;
  gamma = beta = 0;
  for (int w = 0; w < kWarps; ++w) {
    gamma += gammas[w][lane];
    beta += betas[w][lane];
  }
  dgamma[c] = gamma;
  dbeta[c] = beta;
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_LAYER_NORM_KERNELS(T, suffix)                                                     \
  TRIREME_KERNEL(layer_norm_##suffix,                                                             \
                 (const T* x, const float* gamma, const float* beta, T* y, float* mean,           \
                  float* factor, int64_t rows, int64_t channels, double epsilon)) {               \
    layer_norm(x, gamma, beta, y, mean, factor, rows, channels, epsilon);                         \
  }                                                                                               \
  TRIREME_KERNEL(layer_norm_grad_channels_##suffix,                                               \
                 (const T* dy, const T* x, const float* mean, const float* factor, float* dgamma, \
                  float* dbeta, int64_t rows, int64_t channels)) {                                \
    layer_norm_grad_channels(dy, x, mean, factor, dgamma, dbeta, rows, channels);                 \
  }                                                                                               \
  TRIREME_KERNEL(layer_norm_grad_rows_##suffix,                                                   \
                 (const T* dy, const T* x, const float* gamma, const float* mean,                 \
                  const float* factor, T* dx, int64_t rows, int64_t channels)) {                  \
    layer_norm_grad_rows(dy, x, gamma, mean, factor, dx, rows, channels);                         \
  }

TRIREME_LAYER_NORM_KERNELS(Half, f16)
TRIREME_LAYER_NORM_KERNELS(BFloat16, bf16)
TRIREME_LAYER_NORM_KERNELS(float, f32)
