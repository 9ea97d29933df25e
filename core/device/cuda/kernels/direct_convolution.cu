// Convolution by its definition, for what cuDNN does not take: f64 images with channels last, and
// whatever a card or version of it refuses. Filters as in the graph: [h, w, in / groups, out].
#include "core/device/cuda/kernels/window.cuh"

using namespace trireme::cuda;

namespace {

// The window whose element `f` lies on position `input` of the image; -1: none.
TRIREME_DEVICE int32_t window_at(const AxisGeometry& axis, int32_t input, int32_t f) {
  const int32_t start = input + axis.before - f * axis.dilation;
  if (start < 0 || start % axis.stride != 0) return -1;
  const int32_t output = start / axis.stride;
  return output < axis.output ? output : -1;
}

// A thread an element of y; neighbours share the image and read the filter along its rows.
template <typename T>
TRIREME_DEVICE void forward(const T* image, const T* filter, T* y, const WindowGeometry& g) {
  const int32_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  const int64_t count = g.batch * g.h.output * g.w.output * g.out_channels;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t n = i;
    const int64_t o = take(n, g.out_channels);
    const auto ox = static_cast<int32_t>(take(n, g.w.output));
    const auto oy = static_cast<int32_t>(take(n, g.h.output));
    Compute<T> sum = 0;
    for (int32_t fy = 0; fy < g.h.window; ++fy) {
      const int32_t row = oy * g.h.stride - g.h.before + fy * g.h.dilation;
      if (row < 0 || row >= g.h.input) continue;
      for (int32_t fx = 0; fx < g.w.window; ++fx) {
        const int32_t column = ox * g.w.stride - g.w.before + fx * g.w.dilation;
        if (column < 0 || column >= g.w.input) continue;
        const T* pixel =
            image + ((n * g.h.input + row) * g.w.input + column) * g.in_channels + o / out * in;
        const T* weights =
            filter + static_cast<int64_t>(fy * g.w.window + fx) * in * g.out_channels + o;
        for (int32_t c = 0; c < in; ++c) {
          sum +=
              to_compute(pixel[c]) * to_compute(weights[static_cast<int64_t>(c) * g.out_channels]);
        }
      }
    }
    y[i] = from_compute<T>(sum);
  }
}

// A thread an element of dx.
template <typename T>
TRIREME_DEVICE void backward_input(const T* filter, const T* grad, T* dx, const WindowGeometry& g) {
  const int32_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  const int64_t count = g.batch * g.h.input * g.w.input * g.in_channels;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t n = i;
    const int64_t c = take(n, g.in_channels);
    const auto x = static_cast<int32_t>(take(n, g.w.input));
    const auto y = static_cast<int32_t>(take(n, g.h.input));
    const int64_t group = c / in;
    Compute<T> sum = 0;
    for (int32_t fy = 0; fy < g.h.window; ++fy) {
      const int32_t oy = window_at(g.h, y, fy);
      if (oy < 0) continue;
      for (int32_t fx = 0; fx < g.w.window; ++fx) {
        const int32_t ox = window_at(g.w, x, fx);
        if (ox < 0) continue;
        const T* pixel =
            grad + ((n * g.h.output + oy) * g.w.output + ox) * g.out_channels + group * out;
        const T* weights =
            filter +
            (static_cast<int64_t>(fy * g.w.window + fx) * in + (c - group * in)) * g.out_channels +
            group * out;
        for (int32_t o = 0; o < out; ++o) sum += to_compute(pixel[o]) * to_compute(weights[o]);
      }
    }
    dx[i] = from_compute<T>(sum);
  }
}

// A block has 32 neighbouring elements of the filter, and eight threads for each: they share the
// outputs. REQUIRES: blocks of 256 threads.
template <typename T>
TRIREME_DEVICE void backward_filter(const T* image, const T* grad, T* dw, const WindowGeometry& g) {
  constexpr int kElements = 32, kShares = 8;
  __shared__ Compute<T> parts[kShares][kElements];
  const int32_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  const int64_t elements = static_cast<int64_t>(g.h.window) * g.w.window * in * g.out_channels;
  const int64_t outputs = g.batch * g.h.output * g.w.output;
  const int lane = static_cast<int>(threadIdx.x) % kElements;
  const int share = static_cast<int>(threadIdx.x) / kElements;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kElements; first < elements;
       first += static_cast<int64_t>(gridDim.x) * kElements) {
    const int64_t element = first + lane;
    Compute<T> sum = 0;
    if (element < elements) {
      int64_t fy = element;
      const int64_t o = take(fy, g.out_channels), c = take(fy, in) + o / out * in;
      const int64_t fx = take(fy, g.w.window);
      for (int64_t i = share; i < outputs; i += kShares) {
        int64_t n = i;
        const int64_t ox = take(n, g.w.output), oy = take(n, g.h.output);
        const int64_t row = oy * g.h.stride - g.h.before + fy * g.h.dilation;
        const int64_t column = ox * g.w.stride - g.w.before + fx * g.w.dilation;
        if (row < 0 || row >= g.h.input || column < 0 || column >= g.w.input) continue;
        sum += to_compute(image[((n * g.h.input + row) * g.w.input + column) * g.in_channels + c]) *
               to_compute(grad[i * g.out_channels + o]);
      }
    }
    parts[share][lane] = sum;
    __syncthreads();
    if (share == 0 && element < elements) {
      for (int i = 1; i < kShares; ++i) sum += parts[i][lane];
      dw[element] = from_compute<T>(sum);
    }
    __syncthreads();
  }
}

}  // namespace

#define TRIREME_DIRECT_CONVOLUTION(suffix, T)                                 \
  TRIREME_KERNEL(convolution_forward_##suffix,                                \
                 (const T* image, const T* filter, T* y, WindowGeometry g)) { \
    forward(image, filter, y, g);                                             \
  }                                                                           \
  TRIREME_KERNEL(convolution_backward_input_##suffix,                         \
                 (const T* filter, const T* grad, T* dx, WindowGeometry g)) { \
    backward_input(filter, grad, dx, g);                                      \
  }                                                                           \
  TRIREME_KERNEL(convolution_backward_filter_##suffix,                        \
                 (const T* image, const T* grad, T* dw, WindowGeometry g)) {  \
    backward_filter(image, grad, dw, g);                                      \
  }
TRIREME_DIRECT_CONVOLUTION(f32, float)
TRIREME_DIRECT_CONVOLUTION(f64, double)
TRIREME_DIRECT_CONVOLUTION(f16, Half)
TRIREME_DIRECT_CONVOLUTION(bf16, BFloat16)
