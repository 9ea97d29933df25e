#include "core/device/affine_geometry.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel affine_transform(const KernelSpec& spec) {
  const AffineGeometry g = affine_geometry(spec);
  return {[g](const KernelArgs& args) {
    T* y = args.out<T>();
    for (int64_t n = 0; n < g.images; ++n) {
      const T* const image = args.in<T>(0) + n * g.in_h * g.in_w * g.channels;
      const float* const transform = args.in<float>(1) + n * 6;
      for (int64_t row = 0; row < g.out_h; ++row) {
        for (int64_t column = 0; column < g.out_w; ++column) {
          const PixelTaps taps = pixel_taps(transform, column, row, g);
          for (int64_t channel = 0; channel < g.channels; ++channel) {
            *y++ = static_cast<T>(transformed_value<double>(taps, g, [&](int64_t iy, int64_t ix) {
              return image[(iy * g.in_w + ix) * g.channels + channel];
            }));
          }
        }
      }
    }
  }};
}

}  // namespace

void register_reference_images(KernelTable& table) {
  add_for<float, double>(
      table, "AffineTransform", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return affine_transform<T>(spec); });
}

}  // namespace trireme
