#include <algorithm>

#include "core/base/parallel.h"
#include "core/device/affine_geometry.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

// Where the image is only moved, whole pixels are copied.
template <typename T>
void transform_row(const AffineGeometry& g, const T* image, const float* transform, int64_t row,
                   T* y) {
  for (int64_t column = 0; column < g.out_w; ++column, y += g.channels) {
    const PixelTaps taps = pixel_taps(transform, column, row, g);
    const bool is_pixel = taps.x.share == 0 && taps.y.share == 0;
    if (is_pixel && taps.x.first >= 0 && taps.y.first >= 0) {
      std::copy_n(image + (taps.y.first * g.in_w + taps.x.first) * g.channels, g.channels, y);
      continue;
    }
    for (int64_t channel = 0; channel < g.channels; ++channel) {
      y[channel] = transformed_value<T>(taps, g, [&](int64_t iy, int64_t ix) {
        return image[(iy * g.in_w + ix) * g.channels + channel];
      });
    }
  }
}

template <typename T>
PreparedKernel affine_transform(const KernelSpec& spec) {
  constexpr int64_t kPixelsOfATask = 4096;
  const AffineGeometry g = affine_geometry(spec);
  const int64_t grain = std::max<int64_t>(1, kPixelsOfATask / g.out_w);
  return {[g, grain](const KernelArgs& args) {
    parallel_for(g.images * g.out_h, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / g.out_h;
        transform_row(g, args.in<T>(0) + n * g.in_h * g.in_w * g.channels,
                      args.in<float>(1) + n * 6, i % g.out_h,
                      args.out<T>() + i * g.out_w * g.channels);
      }
    });
  }};
}

}  // namespace

void register_cpu_images(KernelTable& table) {
  add_for<float, double>(
      table, "AffineTransform", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return affine_transform<T>(spec); });
}

}  // namespace trireme
