// Batch normalisation: sums down the columns of a [rows, channels] matrix, then one pass that
// writes.
//
// A block has `lanes` threads side by side over the channels, each with V of them, and
// kThreads/lanes below each other over the rows. The rows are cut into parts, a block each; the
// last block that is done with its channels adds the parts up, always in the same order: so the
// result does not depend on which block that is.
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {

constexpr int kThreads = 256;

TRIREME_DEVICE float square_root(float x) { return sqrtf(x); }
TRIREME_DEVICE double square_root(double x) { return sqrt(x); }

// Where a thread stands.
struct Place {
  int lane, row, row_step;  // in the block
  int64_t channel;          // the first of V
  int64_t begin, end;       // rows of the part

  TRIREME_DEVICE Place(int lanes, int per_lane, int64_t rows, int64_t rows_per_part)
      : lane(static_cast<int>(threadIdx.x) % lanes),
        row(static_cast<int>(threadIdx.x) / lanes),
        row_step(kThreads / lanes),
        channel((static_cast<int64_t>(blockIdx.x) * lanes + lane) * per_lane),
        begin(blockIdx.y * rows_per_part),
        end(begin + rows_per_part < rows ? begin + rows_per_part : rows) {}
};

// Two numbers a channel, gathered from `count` rows.
template <typename C, int V>
struct Gathered {
  C a[V], b[V], count;
};

// a: the mean, b: the sum of squared distances from it (Chan, Golub and LeVeque 1983).
struct Moments {
  template <typename C>
  static TRIREME_DEVICE void join(C& a, C& b, C count, C other_a, C other_b, C other_count) {
    const C total = count + other_count;
    if (total == 0) return;
    const C share = other_count / total, distance = other_a - a;
    a += distance * share;
    b += other_b + distance * distance * count * share;
  }
};

// a, b: sums.
struct Sums {
  template <typename C>
  static TRIREME_DEVICE void join(C& a, C& b, C, C other_a, C other_b, C) {
    a += other_a;
    b += other_b;
  }
};

template <typename Rule, typename C, int V>
TRIREME_DEVICE void join(Gathered<C, V>& mine, const Gathered<C, V>& other) {
  for (int v = 0; v < V; ++v)
    Rule::join(mine.a[v], mine.b[v], mine.count, other.a[v], other.b[v], other.count);
  mine.count += other.count;
}

// Over the rows of the block, as a tree; the threads of row 0 have the result.
template <typename Rule, typename C, int V>
TRIREME_DEVICE void join_rows(Gathered<C, V>& mine, const Place& place) {
  __shared__ C a[V * kThreads], b[V * kThreads], counts[kThreads];
  const int lanes = kThreads / place.row_step, thread = static_cast<int>(threadIdx.x);
  __syncthreads();  // a call before this one may still read
  for (int step = place.row_step / 2; step > 0; step /= 2) {
    if (place.row >= step && place.row < 2 * step) {
      for (int v = 0; v < V; ++v) {
        a[v * kThreads + thread] = mine.a[v];
        b[v * kThreads + thread] = mine.b[v];
      }
      counts[thread] = mine.count;
    }
    __syncthreads();
    if (place.row < step) {
      const int from = thread + step * lanes;
      Gathered<C, V> other;
      for (int v = 0; v < V; ++v) {
        other.a[v] = a[v * kThreads + from];
        other.b[v] = b[v * kThreads + from];
      }
      other.count = counts[from];
      join<Rule>(mine, other);
    }
    __syncthreads();
  }
}

// Joins what the parts have gathered. True in one block for each tile of channels, whose row 0 then
// has the result. partials: [2, parts, channels]; arrived: a zero for each tile, left as such.
template <typename Rule, typename C, int V>
TRIREME_DEVICE bool join_parts(Gathered<C, V>& mine, const Place& place, C* partials,
                               unsigned* arrived, int64_t rows, int64_t channels,
                               int64_t rows_per_part) {
  join_rows<Rule>(mine, place);
  const int64_t parts = gridDim.y;
  if (parts == 1) return true;
  C* const second = partials + parts * channels;
  const bool has_channel = place.channel < channels;
  if (place.row == 0 && has_channel) {
    for (int v = 0; v < V; ++v) {
      partials[blockIdx.y * channels + place.channel + v] = mine.a[v];
      second[blockIdx.y * channels + place.channel + v] = mine.b[v];
    }
  }
  __shared__ unsigned ticket;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) ticket = atomicAdd(&arrived[blockIdx.x], 1u);
  __syncthreads();
  if (ticket + 1 != gridDim.y) return false;
  __threadfence();
  if (threadIdx.x == 0) arrived[blockIdx.x] = 0;
  mine = {};
  for (int64_t part = place.row; part < parts && has_channel; part += place.row_step) {
    Gathered<C, V> other;
    for (int v = 0; v < V; ++v) {
      other.a[v] = partials[part * channels + place.channel + v];
      other.b[v] = second[part * channels + place.channel + v];
    }
    const int64_t begin = part * rows_per_part, left = rows - begin;
    other.count = static_cast<C>(left < rows_per_part ? left : rows_per_part);
    join<Rule>(mine, other);
  }
  join_rows<Rule>(mine, place);
  return true;
}

// So many rows are loaded before they are used.
template <int V>
constexpr int kRowsAtOnce = V >= 8 ? 4 : 8;

template <typename T, int V>
TRIREME_DEVICE Vector<T, V> load(const T* from) {
  return *reinterpret_cast<const Vector<T, V>*>(from);
}

// factors: [channels]: scale over the standard deviation.
template <typename T, int V>
TRIREME_DEVICE void batch_norm_statistics(const T* x, const Compute<T>* scale, Compute<T>* mean,
                                          Compute<T>* variance, Compute<T>* factors,
                                          Compute<T>* partials, unsigned* arrived, int lanes,
                                          int64_t rows, int64_t channels, int64_t rows_per_part,
                                          double epsilon) {
  using C = Compute<T>;
  constexpr int kMost = kRowsAtOnce<V>;
  const Place place(lanes, V, rows, rows_per_part);
  Gathered<C, V> all{};
  if (place.channel < channels) {
    const int64_t stride = place.row_step * channels;
    const T* from = x + (place.begin + place.row) * channels + place.channel;
    for (int64_t row = place.begin + place.row; row < place.end;) {
      Vector<T, V> loaded[kMost];
      int count = 0;
      for (int i = 0; i < kMost; ++i) {
        if (row < place.end) {
          loaded[i] = load<T, V>(from);
          from += stride;
          row += place.row_step;
          ++count;
        }
      }
      Gathered<C, V> some;
      some.count = static_cast<C>(count);
      const C share = C(1) / some.count;
      for (int v = 0; v < V; ++v) {
        C sum = 0, squares = 0;
        for (int i = 0; i < kMost; ++i) {
          if (i < count) sum += to_compute(loaded[i].at[v]);
        }
        some.a[v] = sum * share;
        for (int i = 0; i < kMost; ++i) {
          const C distance = i < count ? to_compute(loaded[i].at[v]) - some.a[v] : C(0);
          squares += distance * distance;
        }
        some.b[v] = squares;
      }
      join<Moments>(all, some);
    }
  }
  if (!join_parts<Moments>(all, place, partials, arrived, rows, channels, rows_per_part)) return;
  if (place.row != 0 || place.channel >= channels) return;
  for (int v = 0; v < V; ++v) {
    const int64_t c = place.channel + v;
    const C spread = all.b[v] / static_cast<C>(rows);
    mean[c] = all.a[v];
    variance[c] = spread;
    factors[c] = scale[c] / square_root(spread + static_cast<C>(epsilon));
  }
}

template <typename T, int V>
TRIREME_DEVICE void batch_norm_apply(const T* x, const Compute<T>* mean, const Compute<T>* factors,
                                     const Compute<T>* offset, T* y, int lanes, int64_t rows,
                                     int64_t channels, int64_t rows_per_part) {
  using C = Compute<T>;
  constexpr int kMost = 4;
  const Place place(lanes, V, rows, rows_per_part);
  if (place.channel >= channels) return;
  C centre[V], factor[V], shift[V];
  for (int v = 0; v < V; ++v) {
    centre[v] = mean[place.channel + v];
    factor[v] = factors[place.channel + v];
    shift[v] = offset[place.channel + v];
  }
  const int64_t stride = place.row_step * channels;
  int64_t at = (place.begin + place.row) * channels + place.channel;
  for (int64_t row = place.begin + place.row; row < place.end;
       row += kMost * place.row_step, at += kMost * stride) {
    Vector<T, V> loaded[kMost];
    for (int i = 0; i < kMost; ++i) {
      if (row + i * place.row_step < place.end) loaded[i] = load<T, V>(x + at + i * stride);
    }
    for (int i = 0; i < kMost; ++i) {
      if (row + i * place.row_step >= place.end) break;
      Vector<T, V> out;
      for (int v = 0; v < V; ++v) {
        out.at[v] =
            from_compute<T>((to_compute(loaded[i].at[v]) - centre[v]) * factor[v] + shift[v]);
      }
      *reinterpret_cast<Vector<T, V>*>(y + at + i * stride) = out;
    }
  }
}

// factors: [3, channels]: dx = dy·factor − (x − mean)·slope − shift.
template <typename T, int V>
TRIREME_DEVICE void batch_norm_grad_sums(const T* dy, const T* x, const Compute<T>* scale,
                                         const Compute<T>* mean, const Compute<T>* variance,
                                         Compute<T>* dscale, Compute<T>* doffset,
                                         Compute<T>* factors, Compute<T>* partials,
                                         unsigned* arrived, int lanes, int64_t rows,
                                         int64_t channels, int64_t rows_per_part, double epsilon) {
  using C = Compute<T>;
  constexpr int kMost = kRowsAtOnce<V> / 2;
  const Place place(lanes, V, rows, rows_per_part);
  Gathered<C, V> all{};
  if (place.channel < channels) {
    C centre[V];
    for (int v = 0; v < V; ++v) centre[v] = mean[place.channel + v];
    const int64_t stride = place.row_step * channels;
    int64_t at = (place.begin + place.row) * channels + place.channel;
    for (int64_t row = place.begin + place.row; row < place.end;
         row += kMost * place.row_step, at += kMost * stride) {
      Vector<T, V> upstream[kMost], loaded[kMost];
      for (int i = 0; i < kMost; ++i) {
        if (row + i * place.row_step < place.end) {
          upstream[i] = load<T, V>(dy + at + i * stride);
          loaded[i] = load<T, V>(x + at + i * stride);
        }
      }
      for (int v = 0; v < V; ++v) {
        C sum = 0, product = 0;
        for (int i = 0; i < kMost; ++i) {
          if (row + i * place.row_step < place.end) {
            const C u = to_compute(upstream[i].at[v]);
            sum += u;
            product += u * (to_compute(loaded[i].at[v]) - centre[v]);
          }
        }
        all.a[v] += sum;
        all.b[v] += product;
      }
    }
  }
  if (!join_parts<Sums>(all, place, partials, arrived, rows, channels, rows_per_part)) return;
  if (place.row != 0 || place.channel >= channels) return;
  const C share = C(1) / static_cast<C>(rows);
  for (int v = 0; v < V; ++v) {
    const int64_t c = place.channel + v;
    const C r = C(1) / square_root(variance[c] + static_cast<C>(epsilon));
    const C scaled = scale[c] * r;
    dscale[c] = all.b[v] * r;
    doffset[c] = all.a[v];
    factors[c] = scaled;
    factors[channels + c] = scaled * r * r * all.b[v] * share;
    factors[2 * channels + c] = scaled * all.a[v] * share;
  }
}

template <typename T, int V>
TRIREME_DEVICE void batch_norm_grad_apply(const T* dy, const T* x, const Compute<T>* mean,
                                          const Compute<T>* factors, T* dx, int lanes, int64_t rows,
                                          int64_t channels, int64_t rows_per_part) {
  using C = Compute<T>;
  constexpr int kMost = 2;
  const Place place(lanes, V, rows, rows_per_part);
  if (place.channel >= channels) return;
  C centre[V], factor[V], slope[V], shift[V];
  for (int v = 0; v < V; ++v) {
    const int64_t c = place.channel + v;
    centre[v] = mean[c];
    factor[v] = factors[c];
    slope[v] = factors[channels + c];
    shift[v] = factors[2 * channels + c];
  }
  const int64_t stride = place.row_step * channels;
  int64_t at = (place.begin + place.row) * channels + place.channel;
  for (int64_t row = place.begin + place.row; row < place.end;
       row += kMost * place.row_step, at += kMost * stride) {
    Vector<T, V> upstream[kMost], loaded[kMost];
    for (int i = 0; i < kMost; ++i) {
      if (row + i * place.row_step < place.end) {
        upstream[i] = load<T, V>(dy + at + i * stride);
        loaded[i] = load<T, V>(x + at + i * stride);
      }
    }
    for (int i = 0; i < kMost; ++i) {
      if (row + i * place.row_step >= place.end) break;
      Vector<T, V> out;
      for (int v = 0; v < V; ++v) {
        out.at[v] =
            from_compute<T>(to_compute(upstream[i].at[v]) * factor[v] -
                            (to_compute(loaded[i].at[v]) - centre[v]) * slope[v] - shift[v]);
      }
      *reinterpret_cast<Vector<T, V>*>(dx + at + i * stride) = out;
    }
  }
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_BATCH_NORM_KERNELS(T, V, suffix)                                                   \
  TRIREME_KERNEL(batch_norm_statistics_##suffix,                                                   \
                 (const T* x, const Compute<T>* scale, Compute<T>* mean, Compute<T>* variance,     \
                  Compute<T>* factors, Compute<T>* partials, unsigned* arrived, int lanes,         \
                  int64_t rows, int64_t channels, int64_t rows_per_part, double epsilon)) {        \
    batch_norm_statistics<T, V>(x, scale, mean, variance, factors, partials, arrived, lanes, rows, \
                                channels, rows_per_part, epsilon);                                 \
  }                                                                                                \
  TRIREME_KERNEL(                                                                                  \
      batch_norm_apply_##suffix,                                                                   \
      (const T* x, const Compute<T>* mean, const Compute<T>* factors, const Compute<T>* offset,    \
       T* y, int lanes, int64_t rows, int64_t channels, int64_t rows_per_part)) {                  \
    batch_norm_apply<T, V>(x, mean, factors, offset, y, lanes, rows, channels, rows_per_part);     \
  }                                                                                                \
  TRIREME_KERNEL(batch_norm_grad_sums_##suffix,                                                    \
                 (const T* dy, const T* x, const Compute<T>* scale, const Compute<T>* mean,        \
                  const Compute<T>* variance, Compute<T>* dscale, Compute<T>* doffset,             \
                  Compute<T>* factors, Compute<T>* partials, unsigned* arrived, int lanes,         \
                  int64_t rows, int64_t channels, int64_t rows_per_part, double epsilon)) {        \
    batch_norm_grad_sums<T, V>(dy, x, scale, mean, variance, dscale, doffset, factors, partials,   \
                               arrived, lanes, rows, channels, rows_per_part, epsilon);            \
  }                                                                                                \
  TRIREME_KERNEL(batch_norm_grad_apply_##suffix,                                                   \
                 (const T* dy, const T* x, const Compute<T>* mean, const Compute<T>* factors,      \
                  T* dx, int lanes, int64_t rows, int64_t channels, int64_t rows_per_part)) {      \
    batch_norm_grad_apply<T, V>(dy, x, mean, factors, dx, lanes, rows, channels, rows_per_part);   \
  }

TRIREME_BATCH_NORM_KERNELS(Half, 1, by_1_f16)
TRIREME_BATCH_NORM_KERNELS(BFloat16, 1, by_1_bf16)
TRIREME_BATCH_NORM_KERNELS(float, 1, by_1_f32)
TRIREME_BATCH_NORM_KERNELS(double, 1, by_1_f64)
TRIREME_BATCH_NORM_KERNELS(Half, 8, by_8_f16)
TRIREME_BATCH_NORM_KERNELS(BFloat16, 8, by_8_bf16)
TRIREME_BATCH_NORM_KERNELS(float, 4, by_4_f32)
TRIREME_BATCH_NORM_KERNELS(double, 2, by_2_f64)
