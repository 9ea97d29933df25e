#include <algorithm>

#include "core/device/reference/register.h"
#include "core/ops/window.h"

namespace trireme {
namespace {

// Calls visit(input element, output element, position in the window) for every element that a
// window covers.
template <typename Visit>
void for_each_element(const Pool2dGeometry& g, Visit visit) {
  for (int64_t n = 0; n < g.batch; ++n) {
    for (int64_t oy = 0; oy < g.h.output; ++oy) {
      for (int64_t ox = 0; ox < g.w.output; ++ox) {
        const int64_t output = ((n * g.h.output + oy) * g.w.output + ox) * g.channels;
        for (int64_t wy = 0; wy < g.h.window; ++wy) {
          for (int64_t wx = 0; wx < g.w.window; ++wx) {
            const int64_t y = g.h.start(oy) + wy, x = g.w.start(ox) + wx;
            if (y < 0 || y >= g.h.input || x < 0 || x >= g.w.input) continue;
            const int64_t input = ((n * g.h.input + y) * g.w.input + x) * g.channels;
            for (int64_t c = 0; c < g.channels; ++c) {
              visit(input + c, output + c, wy * g.w.window + wx);
            }
          }
        }
      }
    }
  }
}

template <typename T, typename Position>
PreparedKernel max_pool(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
            const T* x = args.in<T>(0);
            T* y = args.out<T>(0);
            Position* positions = args.out<Position>(1);
            bool* seen = static_cast<bool*>(args.scratch);
            std::fill_n(seen, count, false);
            for_each_element(g, [&](int64_t i, int64_t o, int64_t position) {
              if (seen[o] && !(x[i] > y[o])) return;
              seen[o] = true;
              y[o] = x[i];
              positions[o] = static_cast<Position>(position);
            });
          },
          static_cast<size_t>(count)};
}

template <typename T, typename Position>
PreparedKernel max_pool_grad(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(2), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    T* dx = args.out<T>();
    std::fill_n(dx, count, T{0});
    for_each_element(g, [&](int64_t i, int64_t o, int64_t position) {
      if (args.in<Position>(1)[o] == position) dx[i] += args.in<T>(0)[o];
    });
  }};
}

template <typename T, typename Position>
PreparedKernel max_pool_pick(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  return {[=](const KernelArgs& args) {
    for_each_element(g, [&](int64_t i, int64_t o, int64_t position) {
      if (args.in<Position>(1)[o] == position) args.out<T>()[o] = args.in<T>(0)[i];
    });
  }};
}

// How many elements of the image the window of an output element covers.
int64_t covered(const WindowAxis& axis, int64_t output) {
  const int64_t start = axis.start(output);
  return std::min(start + axis.window, axis.input) - std::max<int64_t>(start, 0);
}

double window_size(const Pool2dGeometry& g, int64_t output_element) {
  const int64_t pixel = output_element / g.channels;
  return static_cast<double>(covered(g.w, pixel % g.w.output) *
                             covered(g.h, pixel / g.w.output % g.h.output));
}

template <typename T>
PreparedKernel avg_pool(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    T* y = args.out<T>();
    std::fill_n(y, count, T{0});
    for_each_element(g, [&](int64_t i, int64_t o, int64_t) { y[o] += args.in<T>(0)[i]; });
    for (int64_t o = 0; o < count; ++o) y[o] = static_cast<T>(y[o] / window_size(g, o));
  }};
}

template <typename T>
PreparedKernel avg_pool_grad(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(1), spec.attributes);
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    T* dx = args.out<T>();
    std::fill_n(dx, count, T{0});
    for_each_element(g, [&](int64_t i, int64_t o, int64_t) {
      dx[i] += static_cast<T>(args.in<T>(0)[o] / window_size(g, o));
    });
  }};
}

bool has_byte_positions(const TensorType& positions) { return positions.dtype == DType::kUInt8; }

}  // namespace

void register_reference_pooling(KernelTable& table) {
  add_for<float, double>(table, "MaxPool2d", kReferenceKind, []<typename T>(const KernelSpec& s) {
    return has_byte_positions(s.outputs[1]) ? max_pool<T, uint8_t>(s) : max_pool<T, int32_t>(s);
  });
  add_for<float, double>(table, "MaxPool2dGrad", kReferenceKind,
                         []<typename T>(const KernelSpec& s) {
                           return has_byte_positions(s.inputs[1]) ? max_pool_grad<T, uint8_t>(s)
                                                                  : max_pool_grad<T, int32_t>(s);
                         });
  add_for<float, double>(table, "MaxPool2dGradGrad", kReferenceKind,
                         []<typename T>(const KernelSpec& s) {
                           return has_byte_positions(s.inputs[1]) ? max_pool_pick<T, uint8_t>(s)
                                                                  : max_pool_pick<T, int32_t>(s);
                         });
  add_for<float, double>(table, "AvgPool2d", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return avg_pool<T>(spec); });
  add_for<float, double>(table, "AvgPool2dGrad", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return avg_pool_grad<T>(spec); });
}

}  // namespace trireme
