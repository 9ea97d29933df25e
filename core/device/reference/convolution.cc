#include <algorithm>
#include <cmath>
#include <string>

#include "core/device/reference/register.h"
#include "core/ops/window.h"

namespace trireme {
namespace {

// Calls visit(input element, filter element, output element) for every product that a convolution
// sums.
template <typename Visit>
void for_each_product(const Conv2dGeometry& g, Visit visit) {
  const int64_t in = g.in_channels / g.groups, out = g.out_channels / g.groups;
  for (int64_t n = 0; n < g.batch; ++n) {
    for (int64_t oy = 0; oy < g.h.output; ++oy) {
      for (int64_t ox = 0; ox < g.w.output; ++ox) {
        for (int64_t fy = 0; fy < g.h.window; ++fy) {
          const int64_t y = g.h.start(oy) + fy * g.h.dilation;
          if (y < 0 || y >= g.h.input) continue;
          for (int64_t fx = 0; fx < g.w.window; ++fx) {
            const int64_t x = g.w.start(ox) + fx * g.w.dilation;
            if (x < 0 || x >= g.w.input) continue;
            const int64_t image = ((n * g.h.input + y) * g.w.input + x) * g.in_channels;
            const int64_t filter = (fy * g.w.window + fx) * in * g.out_channels;
            const int64_t output = ((n * g.h.output + oy) * g.w.output + ox) * g.out_channels;
            for (int64_t o = 0; o < g.out_channels; ++o) {
              for (int64_t i = 0; i < in; ++i) {
                visit(image + o / out * in + i, filter + i * g.out_channels + o, output + o);
              }
            }
          }
        }
      }
    }
  }
}

double activate(const std::string& name, double x) {
  if (name == "relu") return x > 0 ? x : 0;
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "tanh") return std::tanh(x);
  return x;
}

// Sums are kept in double, in the kernel's scratch, so that f32 results are the exact ones rounded
// once.
template <typename T>
void store(const double* sums, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(sums[i]);
}

template <typename T>
PreparedKernel forward(const KernelSpec& spec, bool fused) {
  const auto g = conv2d_geometry(spec.input_shape(0), spec.input_shape(1), spec.attributes);
  const std::string activation = fused ? spec.attribute<std::string>("activation") : "none";
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
            const T *image = args.in<T>(0), *filter = args.in<T>(1);
            double* y = static_cast<double*>(args.scratch);
            for (int64_t i = 0; i < count; ++i) {
              y[i] = fused ? double{args.in<T>(2)[i % g.out_channels]} : 0.0;
            }
            for_each_product(g, [&](int64_t i, int64_t f, int64_t o) {
              y[o] += double{image[i]} * double{filter[f]};
            });
            for (int64_t i = 0; i < count; ++i) y[i] = activate(activation, y[i]);
            store(y, count, args.out<T>());
          },
          static_cast<size_t>(count) * sizeof(double)};
}

template <typename T>
PreparedKernel backward_input(const KernelSpec& spec) {
  const auto g = conv2d_geometry(spec.output_shape(), spec.input_shape(0), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
            const T *filter = args.in<T>(0), *grad = args.in<T>(1);
            double* dx = static_cast<double*>(args.scratch);
            std::fill_n(dx, count, 0.0);
            for_each_product(g, [&](int64_t i, int64_t f, int64_t o) {
              dx[i] += double{grad[o]} * double{filter[f]};
            });
            store(dx, count, args.out<T>());
          },
          static_cast<size_t>(count) * sizeof(double)};
}

template <typename T>
PreparedKernel backward_filter(const KernelSpec& spec) {
  const auto g =
      conv2d_geometry(spec.input_shape(0), spec.attribute<Shape>("filter_shape"), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
            const T *image = args.in<T>(0), *grad = args.in<T>(1);
            double* dw = static_cast<double*>(args.scratch);
            std::fill_n(dw, count, 0.0);
            for_each_product(g, [&](int64_t i, int64_t f, int64_t o) {
              dw[f] += double{image[i]} * double{grad[o]};
            });
            store(dw, count, args.out<T>());
          },
          static_cast<size_t>(count) * sizeof(double)};
}

}  // namespace

void register_reference_convolution(KernelTable& table) {
  add_for<float, double>(table, "Conv2d", kReferenceKind, []<typename T>(const KernelSpec& spec) {
    return forward<T>(spec, false);
  });
  add_for<float, double>(table, "FusedConv2d", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return forward<T>(spec, true); });
  add_for<float, double>(
      table, "Conv2dBackwardInput", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return backward_input<T>(spec); });
  add_for<float, double>(
      table, "Conv2dBackwardFilter", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return backward_filter<T>(spec); });
}

}  // namespace trireme
