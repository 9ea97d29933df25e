// Pooling: a vector register holds channels of one pixel; f32 through AVX2 by the compiler. bf16 by
// pool_rows.h where that can, else as f32.
#include <algorithm>

#include "core/base/parallel.h"
#include "core/device/cpu/pool_rows.h"
#include "core/device/cpu/register.h"
#include "core/device/small_floats.h"
#include "core/ops/window.h"

namespace trireme {
namespace {

// The part of a window that lies inside the image: window positions [y0, y1) × [x0, x1).
struct Part {
  int64_t y0, y1, x0, x1;
  int64_t count() const { return (y1 - y0) * (x1 - x0); }
};

void clip(const WindowAxis& axis, int64_t output, int64_t& first, int64_t& last) {
  const int64_t start = axis.start(output);
  first = std::max<int64_t>(0, -start);
  last = std::min(axis.window, axis.input - start);
}

// Runs body(n, oy, ox, part, output pixel) over all output pixels of examples [begin, end).
template <typename Body>
void for_each_window(const Pool2dGeometry& g, int64_t begin, int64_t end, Body body) {
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t oy = 0; oy < g.h.output; ++oy) {
      Part part;
      clip(g.h, oy, part.y0, part.y1);
      for (int64_t ox = 0; ox < g.w.output; ++ox) {
        clip(g.w, ox, part.x0, part.x1);
        body(n, oy, ox, part, (n * g.h.output + oy) * g.w.output + ox);
      }
    }
  }
}

// The image pixel at window position (wy, wx) of output pixel (oy, ox).
int64_t pixel(const Pool2dGeometry& g, int64_t n, int64_t oy, int64_t ox, int64_t wy, int64_t wx) {
  return (n * g.h.input + g.h.start(oy) + wy) * g.w.input + g.w.start(ox) + wx;
}

// Small work is not worth a second thread.
int64_t grain(const Pool2dGeometry& g) {
  const int64_t work = g.h.output * g.w.output * g.h.window * g.w.window * g.channels;
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(work, 1));
}

template <typename T, typename Position>
PreparedKernel max_pool(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Position, uint8_t>) {
    if (pool_rows::suits(g)) return pool_rows::max_pool<T>(g);
  }
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      for_each_window(g, begin, end, [&](int64_t n, int64_t oy, int64_t ox, Part p, int64_t to) {
        T* y = args.out<T>(0) + to * g.channels;
        Position* positions = args.out<Position>(1) + to * g.channels;
        bool first = true;
        for (int64_t wy = p.y0; wy < p.y1; ++wy) {
          for (int64_t wx = p.x0; wx < p.x1; ++wx) {
            const T* x = args.in<T>(0) + pixel(g, n, oy, ox, wy, wx) * g.channels;
            const auto position = static_cast<Position>(wy * g.w.window + wx);
            for (int64_t c = 0; c < g.channels; ++c) {
              const bool better = first || x[c] > y[c];
              y[c] = better ? x[c] : y[c];
              positions[c] = better ? position : positions[c];
            }
            first = false;
          }
        }
      });
    });
  }};
}

template <typename T, typename Position>
PreparedKernel max_pool_grad(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(2), spec.attributes);
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Position, uint8_t>) {
    if (pool_rows::suits(g)) return pool_rows::max_pool_grad<T>(g);
  }
  const int64_t image = g.h.input * g.w.input * g.channels;
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      std::fill(args.out<T>() + begin * image, args.out<T>() + end * image, T{0});
      for_each_window(g, begin, end, [&](int64_t n, int64_t oy, int64_t ox, Part p, int64_t from) {
        const T* dy = args.in<T>(0) + from * g.channels;
        const Position* positions = args.in<Position>(1) + from * g.channels;
        for (int64_t wy = p.y0; wy < p.y1; ++wy) {
          for (int64_t wx = p.x0; wx < p.x1; ++wx) {
            T* dx = args.out<T>() + pixel(g, n, oy, ox, wy, wx) * g.channels;
            const auto position = static_cast<Position>(wy * g.w.window + wx);
            for (int64_t c = 0; c < g.channels; ++c) {
              dx[c] += positions[c] == position ? dy[c] : T{0};
            }
          }
        }
      });
    });
  }};
}

template <typename T, typename Position>
PreparedKernel max_pool_pick(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      for_each_window(g, begin, end, [&](int64_t n, int64_t oy, int64_t ox, Part, int64_t to) {
        for (int64_t c = 0; c < g.channels; ++c) {
          const int64_t position = args.in<Position>(1)[to * g.channels + c];
          const int64_t from =
              pixel(g, n, oy, ox, position / g.w.window, position % g.w.window) * g.channels + c;
          args.out<T>()[to * g.channels + c] = args.in<T>(0)[from];
        }
      });
    });
  }};
}

template <typename T>
PreparedKernel avg_pool(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      for_each_window(g, begin, end, [&](int64_t n, int64_t oy, int64_t ox, Part p, int64_t to) {
        T* y = args.out<T>() + to * g.channels;
        std::fill_n(y, g.channels, T{0});
        for (int64_t wy = p.y0; wy < p.y1; ++wy) {
          for (int64_t wx = p.x0; wx < p.x1; ++wx) {
            const T* x = args.in<T>(0) + pixel(g, n, oy, ox, wy, wx) * g.channels;
            for (int64_t c = 0; c < g.channels; ++c) y[c] += x[c];
          }
        }
        const T share = T{1} / static_cast<T>(p.count());
        for (int64_t c = 0; c < g.channels; ++c) y[c] *= share;
      });
    });
  }};
}

template <typename T>
PreparedKernel avg_pool_grad(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(1), spec.attributes);
  const int64_t image = g.h.input * g.w.input * g.channels;
  return {[=](const KernelArgs& args) {
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      std::fill(args.out<T>() + begin * image, args.out<T>() + end * image, T{0});
      for_each_window(g, begin, end, [&](int64_t n, int64_t oy, int64_t ox, Part p, int64_t from) {
        const T* dy = args.in<T>(0) + from * g.channels;
        const T share = T{1} / static_cast<T>(p.count());
        for (int64_t wy = p.y0; wy < p.y1; ++wy) {
          for (int64_t wx = p.x0; wx < p.x1; ++wx) {
            T* dx = args.out<T>() + pixel(g, n, oy, ox, wy, wx) * g.channels;
            for (int64_t c = 0; c < g.channels; ++c) dx[c] += dy[c] * share;
          }
        }
      });
    });
  }};
}

bool has_byte_positions(const TensorType& positions) { return positions.dtype == DType::kUInt8; }

template <typename T>
PreparedKernel max_pool_for(const KernelSpec& s) {
  return has_byte_positions(s.outputs[1]) ? max_pool<T, uint8_t>(s) : max_pool<T, int32_t>(s);
}

template <typename T>
PreparedKernel max_pool_grad_for(const KernelSpec& s) {
  return has_byte_positions(s.inputs[1]) ? max_pool_grad<T, uint8_t>(s)
                                         : max_pool_grad<T, int32_t>(s);
}

PreparedKernel max_pool_bf16(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(0), spec.attributes);
  if (has_byte_positions(spec.outputs[1]) && pool_rows::suits(g)) {
    return pool_rows::max_pool<BFloat16>(g);
  }
  return through_f32(spec, max_pool_for<float>);
}

PreparedKernel max_pool_grad_bf16(const KernelSpec& spec) {
  const auto g = pool2d_geometry(spec.input_shape(2), spec.attributes);
  if (has_byte_positions(spec.inputs[1]) && pool_rows::suits(g)) {
    return pool_rows::max_pool_grad<BFloat16>(g);
  }
  return through_f32(spec, max_pool_grad_for<float>);
}

}  // namespace

void register_cpu_pooling(KernelTable& table) {
  add_for<float, double>(table, "MaxPool2d", kCpuKind,
                         []<typename T>(const KernelSpec& s) { return max_pool_for<T>(s); });
  add_kernel(table, "MaxPool2d", kCpuKind, DType::kBFloat16, max_pool_bf16);
  add_for<float, double>(table, "MaxPool2dGrad", kCpuKind,
                         []<typename T>(const KernelSpec& s) { return max_pool_grad_for<T>(s); });
  add_kernel(table, "MaxPool2dGrad", kCpuKind, DType::kBFloat16, max_pool_grad_bf16);
  add_for<float, double>(table, "MaxPool2dGradGrad", kCpuKind, []<typename T>(const KernelSpec& s) {
    return has_byte_positions(s.inputs[1]) ? max_pool_pick<T, uint8_t>(s)
                                           : max_pool_pick<T, int32_t>(s);
  });
  add_for<float, double>(table, "AvgPool2d", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return avg_pool<T>(spec); });
  add_for<float, double>(table, "AvgPool2dGrad", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return avg_pool_grad<T>(spec); });
}

}  // namespace trireme
