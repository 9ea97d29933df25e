// Adds up the rows of one number, for updates and scatters: row `indices[i]` of a table gets
// `given[i]`, and what repeats counts together.
//
// Every sum is added in an order that the row numbers alone determine, so results do not depend on
// which block ran when. use(row, column, sum) is called once for every V elements of each row that
// is named, by one thread. Rows out of range are told of and left out.
#pragma once

#include "core/device/cuda/kernels/row_indices.cuh"

namespace trireme::cuda {

template <typename T, int V>
TRIREME_DEVICE Vector<T, V> load_row(const T* given, int64_t width, int64_t i, int64_t column) {
  return *reinterpret_cast<const Vector<T, V>*>(given + i * width + column);
}
template <typename T, int V>
TRIREME_DEVICE void add_to(Vector<Compute<T>, V>& sum, const Vector<T, V>& more) {
  for (int v = 0; v < V; ++v) sum.at[v] += to_compute(more.at[v]);
}

// Few rows: a block for each, and for a part of the columns of wide ones, which looks for the
// others of its number. The block of the first of them adds up: each warp a slice of all rows, then
// the slices. REQUIRES: at most kComparedRows rows; 256 threads.
template <typename T, int V, typename Use>
TRIREME_DEVICE void sum_compared_rows(const RowIndices& indices, const T* given, int64_t width,
                                      Use use) {
  using Sum = Vector<Compute<T>, V>;
  constexpr int kWarps = 8;
  // A byte for each row: whether it has the number of this block's.
  __shared__ uint64_t flags[kComparedRows / 8];
  __shared__ Sum slices[kWarps * 32];
  unsigned char* const is_same = reinterpret_cast<unsigned char*>(flags);
  const int count = static_cast<int>(indices.count);
  const int words = (count + 7) / 8, words_a_warp = (words + kWarps - 1) / kWarps;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int i = static_cast<int>(blockIdx.x); i < count; i += static_cast<int>(gridDim.x)) {
    const int64_t row = index_at(indices, i);
    if (!is_row(indices, row)) {
      if (thread == 0) report_row(indices, i, row);
      continue;
    }
    __syncthreads();  // a round before this one may still read
    int is_later = 0;
    for (int k = thread; k < words * 8; k += 256) {
      const bool same = k < count && index_at(indices, k) == row;
      is_same[k] = same;
      is_later |= same && k < i;
    }
    if (__syncthreads_or(is_later)) continue;
    const int first = warp * words_a_warp;
    const int last = first + words_a_warp < words ? first + words_a_warp : words;
    for (int64_t tile = blockIdx.y; tile * 32 * V < width; tile += gridDim.y) {
      const int64_t column = (tile * 32 + lane) * V;
      const bool has_column = column < width;
      Sum sum{};
      for (int w = first; w < last; ++w) {
        const uint64_t word = flags[w];
        if (word == 0 || !has_column) continue;
        Vector<T, V> rows[8];
        for (int k = 0; k < 8; ++k) {
          if ((word >> (8 * k)) & 1) rows[k] = load_row<T, V>(given, width, w * 8 + k, column);
        }
        for (int k = 0; k < 8; ++k) {
          if ((word >> (8 * k)) & 1) add_to<T, V>(sum, rows[k]);
        }
      }
      slices[thread] = sum;
      __syncthreads();
      if (warp == 0 && has_column) {
        for (int k = 1; k < kWarps; ++k) add_to<Compute<T>, V>(sum, slices[k * 32 + lane]);
        use(row, column, sum);
      }
      __syncthreads();
    }
  }
}

// Adds rows [from, to) of what load(i) gives, several at a time on their way.
template <typename T, int V, typename Load>
TRIREME_DEVICE void add_all(Vector<Compute<T>, V>& sum, int64_t from, int64_t to, Load load) {
  constexpr int kAtOnce = 8;
  for (; from < to; from += kAtOnce) {
    Vector<T, V> rows[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      if (from + k < to) rows[k] = load(from + k);
    }
    for (int k = 0; k < kAtOnce; ++k) {
      if (from + k < to) add_to<T, V>(sum, rows[k]);
    }
  }
}

// Where the entries of first's number end.
TRIREME_DEVICE int64_t end_of_number(const SortedRows& sorted, int64_t first) {
  const uint32_t key = sorted.keys[first];
  // Most are few: look near by, then further and further, then between.
  int64_t low = first, step = 1;
  while (low + step < sorted.count && sorted.keys[low + step] == key) {
    low += step;
    step *= 2;
  }
  int64_t high = low + step < sorted.count ? low + step : sorted.count;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (sorted.keys[middle] == key) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return high;
}

// runs: [count / kRun, width]: the sums of those runs that are of one number; others are not
// written.
template <typename T, int V>
TRIREME_DEVICE void sum_runs(const SortedRows& sorted, const T* given, int64_t width,
                             Compute<T>* runs) {
  const int64_t units = width / V, total = sorted.count / kRun * units;
  for (int64_t i = global_thread(); i < total; i += global_threads()) {
    const int64_t run = quotient(i, units), column = (i - run * units) * V;
    const int64_t begin = run * kRun;
    if (sorted.keys[begin] != sorted.keys[begin + kRun - 1]) continue;
    Vector<Compute<T>, V> sum{};
    add_all<T, V>(sum, begin, begin + kRun, [&](int64_t at) {
      return load_row<T, V>(given, width, sorted.positions[at], column);
    });
    *reinterpret_cast<Vector<Compute<T>, V>*>(runs + run * width + column) = sum;
  }
}

// Many rows: a thread for every V elements of each, of which those at the first of their number add
// up.
template <typename T, int V, typename Use>
TRIREME_DEVICE void sum_sorted_rows(const SortedRows& sorted, const T* given, int64_t width,
                                    const Compute<T>* runs, Use use) {
  const int64_t units = width / V, total = sorted.count * units;
  for (int64_t i = global_thread(); i < total; i += global_threads()) {
    const int64_t first = quotient(i, units), column = (i - first * units) * V;
    const uint32_t key = sorted.keys[first];
    if (key == sorted.rows || (first > 0 && sorted.keys[first - 1] == key)) continue;
    Vector<Compute<T>, V> sum{};
    const int64_t end = end_of_number(sorted, first);
    const auto add_rows = [&](int64_t from, int64_t to) {
      add_all<T, V>(sum, from, to, [&](int64_t at) {
        return load_row<T, V>(given, width, sorted.positions[at], column);
      });
    };
    // Entries before the first whole run, whole runs, entries behind the last.
    const int64_t first_run = (first + kRun - 1) / kRun, last_run = end / kRun;
    if (first_run < last_run) {
      add_rows(first, first_run * kRun);
      add_all<Compute<T>, V>(sum, first_run, last_run, [&](int64_t run) {
        return load_row<Compute<T>, V>(runs, width, run, column);
      });
      add_rows(last_run * kRun, end);
    } else {
      add_rows(first, end);
    }
    use(static_cast<int64_t>(key), column, sum);
  }
}

}  // namespace trireme::cuda
