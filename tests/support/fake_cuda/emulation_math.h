// The functions and types of CUDA C++ that need nothing of the block: 16-bit floats, vectors,
// bits, mathematics. Part of emulation.h.
#pragma once

#include <math.h>
#include <stdint.h>

// --- 16-bit floats, rounded to nearest even; a NaN becomes the one NaN that a GPU makes.

namespace trireme::cuda {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

inline float to_compute(BFloat16 x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16);
}
inline float to_compute(Half x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00)  // infinity, NaN
    return __builtin_bit_cast(float, sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  if (magnitude >= 0x400)
    return __builtin_bit_cast(float, sign | ((magnitude << 13) + (112u << 23)));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;  // exact
  return sign ? -value : value;
}

template <typename T>
struct FromCompute {
  static T convert(T x) { return x; }
};
template <>
struct FromCompute<BFloat16> {
  static BFloat16 convert(float x) {
    const uint32_t word = __builtin_bit_cast(uint32_t, x);
    if (x != x) return {0x7fff};
    return {static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16)};
  }
};
template <>
struct FromCompute<Half> {
  static Half convert(float x) {
    if (x != x) return {0x7fff};
    const uint32_t word = __builtin_bit_cast(uint32_t, x);
    const uint32_t sign = (word >> 16) & 0x8000u, magnitude = word & 0x7fffffffu;
    if (magnitude >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 2^16 and more
    if (magnitude >= 0x38800000u) {  // normal: 2^-14 and more; may round up to infinity
      const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
      return {static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13))};
    }
    // Subnormal: multiples of 2^-24. Adding 0.5 leaves exactly those bits, rounded by the adder.
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000u))};
  }
};

}  // namespace trireme::cuda

// --- Vectors

#define TRIREME_FAKE_VECTORS(type, name)                                      \
  struct alignas(2 * sizeof(type)) name##2 {                                  \
    type x, y;                                                                \
  };                                                                          \
  struct name##3 {                                                            \
    type x, y, z;                                                             \
  };                                                                          \
  struct alignas(sizeof(type) > 4 ? 16 : 4 * sizeof(type)) name##4 {          \
    type x, y, z, w;                                                          \
  };                                                                          \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }            \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; } \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
TRIREME_FAKE_VECTORS(float, float)
TRIREME_FAKE_VECTORS(double, double)
TRIREME_FAKE_VECTORS(int, int)
TRIREME_FAKE_VECTORS(unsigned, uint)
#undef TRIREME_FAKE_VECTORS

// --- Bits and conversions

template <typename T>
inline T __ldg(const T* at) {
  return *at;
}
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
inline double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __clzll(long long x) {
  return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64;
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }

// --- Mathematics that <math.h> has not

#define TRIREME_FAKE_MIN_MAX(type)                          \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
TRIREME_FAKE_MIN_MAX(int)
TRIREME_FAKE_MIN_MAX(unsigned)
TRIREME_FAKE_MIN_MAX(long)
TRIREME_FAKE_MIN_MAX(unsigned long)
TRIREME_FAKE_MIN_MAX(long long)
TRIREME_FAKE_MIN_MAX(unsigned long long)
#undef TRIREME_FAKE_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float fdividef(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
inline float cospif(float x) { return cosf(3.14159265358979f * x); }
inline float sinpif(float x) { return sinf(3.14159265358979f * x); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = static_cast<float>(sin(M_PI * static_cast<double>(x)));
  *cosine = static_cast<float>(cos(M_PI * static_cast<double>(x)));
}
