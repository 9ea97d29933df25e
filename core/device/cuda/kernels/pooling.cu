// Pooling of images [batch, h, w, channels]: a thread takes 16 bytes of neighbouring channels of
// one pixel, so that a warp reads and writes whole lines. Gradients gather: a thread looks up the
// windows that cover its pixel, in the order in which reference adds them, and needs no atomics.
//
// Why not cuDNN: its maxima come without their positions, and its gradient wants x and y back,
// which Trireme does not keep; it pads both sides alike, where SAME may pad one more after the
// image; and it does not say which of several equal values wins.
#include "core/device/cuda/kernels/window.cuh"

using namespace trireme::cuda;

namespace {

template <typename T, int N>
TRIREME_DEVICE const Vector<T, N>& load(const T* from, int64_t i) {
  return *reinterpret_cast<const Vector<T, N>*>(from + i);
}
template <typename T, int N>
TRIREME_DEVICE void store(T* to, int64_t i, const Vector<T, N>& value) {
  *reinterpret_cast<Vector<T, N>*>(to + i) = value;
}

// body(n, y, x, channel, element) for each N channels of images [batch, h, w, channels].
template <int N, typename Body>
TRIREME_DEVICE void for_each_pixel(const WindowGeometry& g, int32_t h, int32_t w, Body body) {
  const int64_t count = g.batch * h * w * (g.in_channels / N);
  for (int64_t i = global_thread(); i < count; i += global_threads()) {
    int64_t rest = i;
    const int64_t channel = take(rest, g.in_channels / N) * N;
    const int32_t x = static_cast<int32_t>(take(rest, w));
    const int32_t y = static_cast<int32_t>(take(rest, h));
    body(rest, y, x, channel, i * N);
  }
}

// The element at window position (wy, wx) of output (oy, ox).
TRIREME_DEVICE int64_t element_in(const WindowGeometry& g, int64_t n, int32_t oy, int32_t ox,
                                  int32_t wy, int32_t wx, int64_t channel) {
  const int32_t y = oy * g.h.stride - g.h.before + wy, x = ox * g.w.stride - g.w.before + wx;
  return ((n * g.h.input + y) * g.w.input + x) * g.in_channels + channel;
}

TRIREME_DEVICE int64_t output_element(const WindowGeometry& g, int64_t n, int32_t oy, int32_t ox,
                                      int64_t channel) {
  return ((n * g.h.output + oy) * g.w.output + ox) * g.in_channels + channel;
}

template <typename T, typename Position, int N>
TRIREME_DEVICE void max_pool(const T* x, T* y, Position* positions, const WindowGeometry& g) {
  for_each_pixel<N>(g, g.h.output, g.w.output,
                    [=](int64_t n, int32_t oy, int32_t ox, int64_t channel, int64_t element) {
                      const Span rows = inside(g.h, oy), columns = inside(g.w, ox);
                      Vector<T, N> best;
                      Vector<Position, N> at;
                      bool first = true;
                      for (int32_t wy = rows.begin; wy < rows.end; ++wy) {
                        for (int32_t wx = columns.begin; wx < columns.end; ++wx) {
                          const Vector<T, N> values =
                              load<T, N>(x, element_in(g, n, oy, ox, wy, wx, channel));
                          for (int j = 0; j < N; ++j) {
                            if (first || to_compute(values.at[j]) > to_compute(best.at[j])) {
                              best.at[j] = values.at[j];
                              at.at[j] = static_cast<Position>(wy * g.w.window + wx);
                            }
                          }
                          first = false;
                        }
                      }
                      store<T, N>(y, element, best);
                      store<Position, N>(positions, element, at);
                    });
}

template <typename T, typename Position, int N>
TRIREME_DEVICE void max_pool_grad(const T* dy, const Position* positions, T* dx,
                                  const WindowGeometry& g) {
  for_each_pixel<N>(g, g.h.input, g.w.input,
                    [=](int64_t n, int32_t y, int32_t x, int64_t channel, int64_t element) {
                      const Span rows = covering(g.h, y), columns = covering(g.w, x);
                      Compute<T> sums[N] = {};
                      for (int32_t oy = rows.begin; oy < rows.end; ++oy) {
                        for (int32_t ox = columns.begin; ox < columns.end; ++ox) {
                          const int64_t from = output_element(g, n, oy, ox, channel);
                          const Vector<T, N> grad = load<T, N>(dy, from);
                          const Vector<Position, N> at = load<Position, N>(positions, from);
                          const int32_t here = (y + g.h.before - oy * g.h.stride) * g.w.window +
                                               (x + g.w.before - ox * g.w.stride);
                          for (int j = 0; j < N; ++j) {
                            if (static_cast<int32_t>(at.at[j]) == here)
                              sums[j] += to_compute(grad.at[j]);
                          }
                        }
                      }
                      Vector<T, N> result;
                      for (int j = 0; j < N; ++j) result.at[j] = from_compute<T>(sums[j]);
                      store<T, N>(dx, element, result);
                    });
}

// A position outside its window, which MaxPool2d never writes, would read outside the image: it
// gives 0.
template <typename T, typename Position, int N>
TRIREME_DEVICE void max_pool_pick(const T* x, const Position* positions, T* y,
                                  const WindowGeometry& g) {
  for_each_pixel<N>(g, g.h.output, g.w.output,
                    [=](int64_t n, int32_t oy, int32_t ox, int64_t channel, int64_t element) {
                      const Span rows = inside(g.h, oy), columns = inside(g.w, ox);
                      const Vector<Position, N> at = load<Position, N>(positions, element);
                      Vector<T, N> picked;
                      for (int j = 0; j < N; ++j) {
                        const int32_t position = static_cast<int32_t>(at.at[j]);
                        const int32_t wy = position / g.w.window, wx = position - wy * g.w.window;
                        const bool is_inside = wy >= rows.begin && wy < rows.end &&
                                               wx >= columns.begin && wx < columns.end;
                        picked.at[j] = is_inside ? x[element_in(g, n, oy, ox, wy, wx, channel + j)]
                                                 : from_compute<T>(Compute<T>(0));
                      }
                      store<T, N>(y, element, picked);
                    });
}

template <typename T, int N>
TRIREME_DEVICE void avg_pool(const T* x, T* y, const WindowGeometry& g) {
  for_each_pixel<N>(
      g, g.h.output, g.w.output,
      [=](int64_t n, int32_t oy, int32_t ox, int64_t channel, int64_t element) {
        const Span rows = inside(g.h, oy), columns = inside(g.w, ox);
        Compute<T> sums[N] = {};
        for (int32_t wy = rows.begin; wy < rows.end; ++wy) {
          for (int32_t wx = columns.begin; wx < columns.end; ++wx) {
            const Vector<T, N> values = load<T, N>(x, element_in(g, n, oy, ox, wy, wx, channel));
            for (int j = 0; j < N; ++j) sums[j] += to_compute(values.at[j]);
          }
        }
        const auto size =
            static_cast<Compute<T>>((rows.end - rows.begin) * (columns.end - columns.begin));
        Vector<T, N> result;
        for (int j = 0; j < N; ++j) result.at[j] = from_compute<T>(sums[j] / size);
        store<T, N>(y, element, result);
      });
}

template <typename T, int N>
TRIREME_DEVICE void avg_pool_grad(const T* dy, T* dx, const WindowGeometry& g) {
  for_each_pixel<N>(
      g, g.h.input, g.w.input,
      [=](int64_t n, int32_t y, int32_t x, int64_t channel, int64_t element) {
        const Span rows = covering(g.h, y), columns = covering(g.w, x);
        Compute<T> sums[N] = {};
        for (int32_t oy = rows.begin; oy < rows.end; ++oy) {
          const Span covered_rows = inside(g.h, oy);
          for (int32_t ox = columns.begin; ox < columns.end; ++ox) {
            const Span covered_columns = inside(g.w, ox);
            const auto size =
                static_cast<Compute<T>>((covered_rows.end - covered_rows.begin) *
                                        (covered_columns.end - covered_columns.begin));
            const Vector<T, N> grad = load<T, N>(dy, output_element(g, n, oy, ox, channel));
            for (int j = 0; j < N; ++j) sums[j] += to_compute(grad.at[j]) / size;
          }
        }
        Vector<T, N> result;
        for (int j = 0; j < N; ++j) result.at[j] = from_compute<T>(sums[j]);
        store<T, N>(dx, element, result);
      });
}

template <typename T>
inline constexpr int kChannels = 16 / sizeof(T);  // what a thread takes where it divides

}  // namespace

#define TRIREME_MAX_POOLS(suffix, T, position, P)                                               \
  TRIREME_KERNEL(max_pool_##position##_##suffix,                                                \
                 (const T* x, T* y, P* positions, WindowGeometry g)) {                          \
    g.in_channels % kChannels<T> == 0 ? max_pool<T, P, kChannels<T>>(x, y, positions, g)        \
                                      : max_pool<T, P, 1>(x, y, positions, g);                  \
  }                                                                                             \
  TRIREME_KERNEL(max_pool_grad_##position##_##suffix,                                           \
                 (const T* dy, const P* positions, T* dx, WindowGeometry g)) {                  \
    g.in_channels % kChannels<T> == 0 ? max_pool_grad<T, P, kChannels<T>>(dy, positions, dx, g) \
                                      : max_pool_grad<T, P, 1>(dy, positions, dx, g);           \
  }                                                                                             \
  TRIREME_KERNEL(max_pool_pick_##position##_##suffix,                                           \
                 (const T* x, const P* positions, T* y, WindowGeometry g)) {                    \
    g.in_channels % kChannels<T> == 0 ? max_pool_pick<T, P, kChannels<T>>(x, positions, y, g)   \
                                      : max_pool_pick<T, P, 1>(x, positions, y, g);             \
  }

#define TRIREME_POOLS(suffix, T)                                                   \
  TRIREME_MAX_POOLS(suffix, T, u8, uint8_t)                                        \
  TRIREME_MAX_POOLS(suffix, T, i32, int32_t)                                       \
  TRIREME_KERNEL(avg_pool_##suffix, (const T* x, T* y, WindowGeometry g)) {        \
    g.in_channels % kChannels<T> == 0 ? avg_pool<T, kChannels<T>>(x, y, g)         \
                                      : avg_pool<T, 1>(x, y, g);                   \
  }                                                                                \
  TRIREME_KERNEL(avg_pool_grad_##suffix, (const T* dy, T* dx, WindowGeometry g)) { \
    g.in_channels % kChannels<T> == 0 ? avg_pool_grad<T, kChannels<T>>(dy, dx, g)  \
                                      : avg_pool_grad<T, 1>(dy, dx, g);            \
  }

TRIREME_POOLS(f32, float)
TRIREME_POOLS(f64, double)
TRIREME_POOLS(f16, Half)
TRIREME_POOLS(bf16, BFloat16)
