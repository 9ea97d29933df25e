// Random numbers and dropout, with the words of core/device/random_rows.h: those of the CPU, bit
// for bit. A thread draws one Philox block, which is four elements of a row.
#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/random_rows.h"

namespace trireme::cuda {

// The elements of one block.
struct DrawnElements {
  int64_t first;
  int count;
};

TRIREME_DEVICE DrawnElements elements_of_block(const RandomRows& rows, int64_t block) {
  if (rows.row_elements % 4 == 0) return {4 * block, 4};
  const int64_t row = block / rows.blocks_per_row;
  const int64_t at = 4 * (block - row * rows.blocks_per_row);
  const int64_t left = rows.row_elements - at;
  return {row * rows.row_elements + at, left < 4 ? static_cast<int>(left) : 4};
}

// values(words, elements, is_vector, out) fills `out` for every block. `is_vector`: rows are whole
// blocks, so elements are read and written by four.
template <typename T, typename Values>
TRIREME_DEVICE void draw(T* y, const int64_t* key, const RandomRows& rows, uint64_t seed,
                         bool is_vector, Values values) {
  const int64_t blocks = rows.rows * rows.blocks_per_row;
  const uint64_t step = static_cast<uint64_t>(key[0]);
  for (int64_t block = global_thread(); block < blocks; block += global_threads()) {
    // The blocks of one row follow those of the row before.
    const PhiloxBlock words = philox(seed, step, rows.counter(key, 0, block));
    const DrawnElements elements = elements_of_block(rows, block);
    Vector<T, 4> out;
    values(words, elements, is_vector, out);
    if (is_vector) {
      *reinterpret_cast<Vector<T, 4>*>(y + elements.first) = out;
    } else {
      for (int i = 0; i < 4; ++i) {
        if (i < elements.count) y[elements.first + i] = out.at[i];
      }
    }
  }
}

template <typename T>
TRIREME_DEVICE void uniform(T* y, const int64_t* key, const RandomRows& rows, uint64_t seed,
                            bool is_vector) {
  draw(y, key, rows, seed, is_vector,
       [](const PhiloxBlock& words, const DrawnElements&, bool, Vector<T, 4>& out) {
         for (int i = 0; i < 4; ++i) out.at[i] = from_compute<T>(uniform_float(words[i]));
       });
}

template <typename T>
TRIREME_DEVICE void normal(T* y, const int64_t* key, const RandomRows& rows, uint64_t seed,
                           bool is_vector) {
  draw(y, key, rows, seed, is_vector,
       [](const PhiloxBlock& words, const DrawnElements&, bool, Vector<T, 4>& out) {
         for (int i = 0; i < 4; i += 2) {
           const NormalPair pair = normal_pair(words[i], words[i + 1]);
           out.at[i] = from_compute<T>(pair.first);
           out.at[i + 1] = from_compute<T>(pair.second);
         }
       });
}

template <typename T>
TRIREME_DEVICE void truncated(T* y, const int64_t* key, const RandomRows& rows, uint64_t seed,
                              bool is_vector) {
  draw(y, key, rows, seed, is_vector,
       [](const PhiloxBlock& words, const DrawnElements&, bool, Vector<T, 4>& out) {
         for (int i = 0; i < 4; ++i) {
           out.at[i] =
               from_compute<T>(static_cast<Compute<T>>(trireme::truncated_normal(words[i])));
         }
       });
}

// `y` may be `x`.
template <typename T>
TRIREME_DEVICE void dropout(T* y, const T* x, const int64_t* key, const RandomRows& rows,
                            uint64_t seed, uint32_t threshold, Compute<T> scale, bool is_vector) {
  draw(y, key, rows, seed, is_vector,
       [=](const PhiloxBlock& words, const DrawnElements& elements, bool by_four,
           Vector<T, 4>& out) {
         Vector<T, 4> in;
         if (by_four) {
           in = *reinterpret_cast<const Vector<T, 4>*>(x + elements.first);
         } else {
           for (int i = 0; i < 4; ++i) {
             if (i < elements.count) in.at[i] = x[elements.first + i];
           }
         }
         for (int i = 0; i < 4; ++i) {
           const Compute<T> kept = to_compute(in.at[i]) * scale;
           out.at[i] = from_compute<T>(words[i] < threshold ? Compute<T>(0) : kept);
         }
       });
}

}  // namespace trireme::cuda

using namespace trireme::cuda;
using trireme::RandomRows;

#define TRIREME_RANDOM_KERNELS(T, suffix)                                                      \
  TRIREME_KERNEL(random_uniform_##suffix,                                                      \
                 (T * y, const int64_t* key, RandomRows rows, uint64_t seed, int is_vector)) { \
    uniform(y, key, rows, seed, is_vector != 0);                                               \
  }                                                                                            \
  TRIREME_KERNEL(random_normal_##suffix,                                                       \
                 (T * y, const int64_t* key, RandomRows rows, uint64_t seed, int is_vector)) { \
    normal(y, key, rows, seed, is_vector != 0);                                                \
  }                                                                                            \
  TRIREME_KERNEL(random_truncated_normal_##suffix,                                             \
                 (T * y, const int64_t* key, RandomRows rows, uint64_t seed, int is_vector)) { \
    truncated(y, key, rows, seed, is_vector != 0);                                             \
  }                                                                                            \
  TRIREME_KERNEL(dropout_##suffix,                                                             \
                 (T * y, const T* x, const int64_t* key, RandomRows rows, uint64_t seed,       \
                  uint32_t threshold, double scale, int is_vector)) {                          \
    dropout(y, x, key, rows, seed, threshold, static_cast<Compute<T>>(scale), is_vector != 0); \
  }

TRIREME_RANDOM_KERNELS(Half, f16)
TRIREME_RANDOM_KERNELS(BFloat16, bf16)
TRIREME_RANDOM_KERNELS(float, f32)
TRIREME_RANDOM_KERNELS(double, f64)
