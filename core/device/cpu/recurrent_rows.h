// What the kernels of recurrences share beside the product: their loop over examples, their scratch
// memory and the functions of gates. Private to this folder.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/parallel.h"
#include "core/device/cpu/exponential.h"
#include "core/device/kernel_spec.h"
#include "core/device/recurrent_layout.h"

namespace trireme::recurrent {

// Blocks of scratch memory, one after another.
class Scratch {
 public:
  // Bytes where a block of `elements` T begins.
  template <typename T>
  size_t add(int64_t elements) {
    const size_t begin = bytes_;
    bytes_ += align_up(static_cast<size_t>(elements) * sizeof(T));
    return begin;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

template <typename T>
T* scratch_at(const KernelArgs& args, size_t bytes) {
  return reinterpret_cast<T*>(static_cast<char*>(args.scratch) + bytes);
}

// Numbers from one example's state to the next: rows do not begin at addresses that a cache puts in
// one set.
inline int64_t state_step(int64_t width) { return (width + 15) / 16 * 16 + 16; }

// body(begin, end) over the examples, one part a thread: each thread goes through all steps of its
// examples, so that no step ends with a barrier.
inline void for_examples(int64_t batch, FunctionRef<void(int64_t, int64_t)> body) {
  const int64_t threads = std::max(1, compute_threads());
  parallel_for(batch, (batch + threads - 1) / threads, body);
}

template <typename T>
inline T sigmoid(T x) {
  return 1 / (1 + vector_exp(-x));
}
inline float hyperbolic_tangent(float x) { return 1 - 2 / (1 + vector_exp(2 * x)); }
inline double hyperbolic_tangent(double x) { return std::tanh(x); }

// Copies the states of rows [begin, end) from [batch, units] (null: zeros).
template <typename T>
void load_states(const T* from, int64_t units, T* to, int64_t step, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    if (from == nullptr) {
      std::fill_n(to + row * step, units, T{0});
    } else {
      std::copy_n(from + row * units, units, to + row * step);
    }
  }
}
template <typename T>
void store_states(const T* from, int64_t step, int64_t units, T* to, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    std::copy_n(from + row * step, units, to + row * units);
  }
}

}  // namespace trireme::recurrent
