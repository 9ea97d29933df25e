// Affine transformations of images: a thread makes one number, by the rule that all devices have.
#include "core/device/affine_pixels.h"
#include "core/device/cuda/kernels/portable.cuh"

using namespace trireme;
using namespace trireme::cuda;

namespace {

template <typename T>
TRIREME_DEVICE void affine_transform(const T* images, const float* transforms, T* y,
                                     const AffineGeometry& g) {
  const int64_t count = g.images * g.out_h * g.out_w * g.channels;
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t rest = i;
    const int64_t channel = rest % g.channels;
    rest /= g.channels;
    const int64_t column = rest % g.out_w;
    rest /= g.out_w;
    const int64_t row = rest % g.out_h, n = rest / g.out_h;
    const T* const image = images + n * g.in_h * g.in_w * g.channels;
    const PixelTaps taps = pixel_taps(transforms + n * 6, column, row, g);
    y[i] = from_compute<T>(transformed_value<Compute<T>>(taps, g, [&](int64_t iy, int64_t ix) {
      return to_compute(image[(iy * g.in_w + ix) * g.channels + channel]);
    }));
  }
}

}  // namespace

#define TRIREME_AFFINE(suffix, T)                                                      \
  TRIREME_KERNEL(affine_transform_##suffix,                                            \
                 (const T* images, const float* transforms, T* y, AffineGeometry g)) { \
    affine_transform<T>(images, transforms, y, g);                                     \
  }

TRIREME_AFFINE(f32, float)
TRIREME_AFFINE(f64, double)
TRIREME_AFFINE(f16, Half)
TRIREME_AFFINE(bf16, BFloat16)
