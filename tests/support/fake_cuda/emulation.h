// CUDA C++ for the host: g++ compiles core/device/cuda/kernels/*.cu and generated kernels with
// `-include` of this file, and the fake driver runs them. It gives what portable.cuh allows, and
// no more, so that what it lets pass is what nvcc takes.
//
// The threads of a block run one after the other on one thread of the host until one must wait.
// Hence atomics are plain, and __shared__ is storage that the driver fills with junk for each
// block that waits. Each library of kernels has its own Module; the file that is compiled with
// TRIREME_FAKE_MODULE gives it to the driver.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/support/fake_cuda/module.h"

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Thread-local: so that it is a segment of its own, which the driver can find.
#define __shared__ static __thread
#define TRIREME_DEVICE inline
// Twice, so that a name that is put together by macros is expanded first.
#define TRIREME_KERNEL(name, parameters) TRIREME_FAKE_KERNEL(name, parameters)
#define TRIREME_FAKE_KERNEL(name, parameters)                                                    \
  static void trireme_kernel_##name parameters;                                                  \
  static ::trireme_fake::Registration trireme_registration_##name(#name, trireme_kernel_##name); \
  static void trireme_kernel_##name parameters

namespace trireme_fake {

inline __attribute__((visibility("hidden"))) Module module{};

template <unsigned... I>
struct Indices {};
template <unsigned N, unsigned... I>
struct IndicesUpTo : IndicesUpTo<N - 1, N - 1, I...> {};
template <unsigned... I>
struct IndicesUpTo<0, I...> {
  using Type = Indices<I...>;
};

template <typename T>
inline constexpr bool is_pointer = false;
template <typename T>
inline constexpr bool is_pointer<T*> = true;

template <typename... P>
struct Caller {
  static_assert((__is_trivially_copyable(P) && ...), "kernel parameters are copied as bytes");
  static constexpr Parameter parameters[sizeof...(P) + 1] = {
      {sizeof(P), alignof(P), is_pointer<P>}..., {}};

  template <unsigned... I>
  static void unpack(void (*function)(P...), void** arguments, Indices<I...>) {
    function(*static_cast<P*>(arguments[I])...);
  }
  static void call(void (*function)(), void** arguments) {
    unpack(reinterpret_cast<void (*)(P...)>(function), arguments,
           typename IndicesUpTo<sizeof...(P)>::Type());
  }
};

class Registration {
 public:
  template <typename... P>
  Registration(const char* name, void (*function)(P...))
      : entry_{name,
               reinterpret_cast<void (*)()>(function),
               Caller<P...>::call,
               Caller<P...>::parameters,
               static_cast<int>(sizeof...(P)),
               module.kernels} {
    module.kernels = &entry_;
  }

 private:
  KernelEntry entry_;
};

template <typename To, typename From>
inline To bits_to(From from) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

}  // namespace trireme_fake

#ifdef TRIREME_FAKE_MODULE
extern "C" __attribute__((visibility("default"))) trireme_fake::Module* trireme_fake_module() {
  return &trireme_fake::module;
}
#endif

#define threadIdx (::trireme_fake::module.thread)
#define blockIdx (::trireme_fake::module.block)
#define blockDim (::trireme_fake::module.block_size)
#define gridDim (::trireme_fake::module.grid_size)
#define warpSize 32

// --- Waiting

inline void __syncthreads(int line = __builtin_LINE()) {
  ::trireme_fake::module.runtime->barrier(0, line);
}
inline int __syncthreads_count(int yes, int line = __builtin_LINE()) {
  return static_cast<int>(::trireme_fake::module.runtime->barrier(yes != 0, line));
}
inline int __syncthreads_or(int yes, int line = __builtin_LINE()) {
  return __syncthreads_count(yes, line) != 0;
}
inline int __syncthreads_and(int yes, int line = __builtin_LINE()) {
  return __syncthreads_count(!yes, line) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
  ::trireme_fake::module.runtime->exchange(mask, 0, line);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { ::trireme_fake::module.runtime->trap(); }

namespace trireme_fake {

inline unsigned lane() {
  const Coordinates t = module.thread, size = module.block_size;
  return ((t.z * size.y + t.y) * size.x + t.x) % 32;
}

inline uint64_t to_word(float x) { return bits_to<uint32_t>(x); }
inline uint64_t to_word(double x) { return bits_to<uint64_t>(x); }
inline uint64_t to_word(int x) { return bits_to<uint32_t>(x); }
inline uint64_t to_word(unsigned x) { return x; }
inline uint64_t to_word(long x) { return bits_to<uint64_t>(x); }
inline uint64_t to_word(unsigned long x) { return x; }
inline uint64_t to_word(long long x) { return bits_to<uint64_t>(x); }
inline uint64_t to_word(unsigned long long x) { return x; }

template <typename T>
inline T from_word(uint64_t word) {
  if constexpr (sizeof(T) == 4)
    return bits_to<T>(static_cast<uint32_t>(word));
  else
    return bits_to<T>(word);
}

// The value of lane `from` when it is in this lane's segment of `width`, else its own.
template <typename T>
inline T shuffle(unsigned mask, T value, int from, int width, int line) {
  const uint64_t* values = module.runtime->exchange(mask, to_word(value), line);
  const int own = static_cast<int>(lane()), first = own / width * width;
  return from < first || from >= first + width ? value : from_word<T>(values[from]);
}

}  // namespace trireme_fake

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32,
                     int line = __builtin_LINE()) {
  const int first = static_cast<int>(::trireme_fake::lane()) / width * width;
  return ::trireme_fake::shuffle(mask, value, first + (from & (width - 1)), width, line);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                         int line = __builtin_LINE()) {
  return ::trireme_fake::shuffle(mask, value, static_cast<int>(::trireme_fake::lane()) ^ lanes,
                                 width, line);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                          int line = __builtin_LINE()) {
  return ::trireme_fake::shuffle(mask, value, static_cast<int>(::trireme_fake::lane() + by), width,
                                 line);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                        int line = __builtin_LINE()) {
  return ::trireme_fake::shuffle(
      mask, value, static_cast<int>(::trireme_fake::lane()) - static_cast<int>(by), width, line);
}
inline unsigned __ballot_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
  const uint64_t* values = ::trireme_fake::module.runtime->exchange(mask, yes != 0, line);
  unsigned result = 0;
  for (int i = 0; i < 32; ++i) result |= static_cast<unsigned>(values[i]) << i;
  return result;
}
inline int __any_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
  return __ballot_sync(mask, yes, line) != 0;
}
inline int __all_sync(unsigned mask, int yes, int line = __builtin_LINE()) {
  return __ballot_sync(mask, yes, line) == mask;
}

// --- Atomics

#define TRIREME_FAKE_ATOMIC(type, function, expression) \
  inline type function(type* at, type value) {          \
    const type old = *at;                               \
    *at = (expression);                                 \
    return old;                                         \
  }
#define TRIREME_FAKE_ATOMICS_OF_INTEGERS(type)                    \
  TRIREME_FAKE_ATOMIC(type, atomicExch, value)                    \
  TRIREME_FAKE_ATOMIC(type, atomicMax, old < value ? value : old) \
  TRIREME_FAKE_ATOMIC(type, atomicMin, value < old ? value : old) \
  TRIREME_FAKE_ATOMIC(type, atomicAnd, old& value)                \
  TRIREME_FAKE_ATOMIC(type, atomicOr, old | value)                \
  inline type atomicCAS(type* at, type expected, type value) {    \
    const type old = *at;                                         \
    if (old == expected) *at = value;                             \
    return old;                                                   \
  }
TRIREME_FAKE_ATOMICS_OF_INTEGERS(int)
TRIREME_FAKE_ATOMICS_OF_INTEGERS(unsigned)
TRIREME_FAKE_ATOMICS_OF_INTEGERS(unsigned long long)
TRIREME_FAKE_ATOMIC(int, atomicAdd, static_cast<int>(static_cast<unsigned>(old) + value))
TRIREME_FAKE_ATOMIC(unsigned, atomicAdd, old + value)
TRIREME_FAKE_ATOMIC(unsigned long long, atomicAdd, old + value)
TRIREME_FAKE_ATOMIC(float, atomicAdd, old + value)
TRIREME_FAKE_ATOMIC(double, atomicAdd, old + value)
TRIREME_FAKE_ATOMIC(float, atomicExch, value)
#undef TRIREME_FAKE_ATOMICS_OF_INTEGERS
#undef TRIREME_FAKE_ATOMIC

#include "tests/support/fake_cuda/emulation_math.h"
