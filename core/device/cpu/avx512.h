// For functions that are compiled for AVX-512 and called only where the processor has it.
//
// TRIREME_HAS_AVX512_BUILD says whether the compiler can; has_avx512() whether this processor does,
// has_avx512_bf16() whether it also has products of bf16.
// Private to this folder.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#if !defined(__clang__)
// GCC 12 takes the header's own "undefined" values for reads of uninitialised ones.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#define TRIREME_HAS_AVX512_BUILD 1
#define TRIREME_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")))
#define TRIREME_AVX512_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")))
#else
#define TRIREME_HAS_AVX512_BUILD 0
#define TRIREME_AVX512
#define TRIREME_AVX512_BF16
#endif

namespace trireme {

inline bool has_avx512() {
#if TRIREME_HAS_AVX512_BUILD
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  return false;
#endif
}

inline bool has_avx512_bf16() {
#if TRIREME_HAS_AVX512_BUILD
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace trireme
