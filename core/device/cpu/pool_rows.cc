#include "core/device/cpu/pool_rows.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/cpu/avx512.h"

namespace trireme::pool_rows {

bool suits(const Pool2dGeometry& g) {
  const auto plain = [](const WindowAxis& axis) {
    return axis.before == 0 && axis.after == 0 && axis.stride >= axis.window;
  };
  return has_avx512() && plain(g.h) && plain(g.w);
}

#if TRIREME_HAS_AVX512_BUILD
namespace {

int64_t grain(const Pool2dGeometry& g) {
  return std::max<int64_t>(1, 32768 / (g.h.input * g.w.input * g.channels));
}

__mmask16 lanes(int64_t count) {
  return count >= 16 ? __mmask16{0xFFFF} : static_cast<__mmask16>((1u << count) - 1);
}

// 16 numbers in f32; what they hold of bf16 is exact both ways.
__attribute__((always_inline)) TRIREME_AVX512 inline __m512 load(__mmask16 mask, const float* x) {
  return _mm512_maskz_loadu_ps(mask, x);
}
__attribute__((always_inline)) TRIREME_AVX512 inline __m512 load(__mmask16 mask,
                                                                 const BFloat16* x) {
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}
__attribute__((always_inline)) TRIREME_AVX512 inline void store(__mmask16 mask, __m512 value,
                                                                float* y) {
  _mm512_mask_storeu_ps(y, mask, value);
}
__attribute__((always_inline)) TRIREME_AVX512 inline void store(__mmask16 mask, __m512 value,
                                                                BFloat16* y) {
  const __m512i words = _mm512_srli_epi32(_mm512_castps_si512(value), 16);
  _mm256_mask_storeu_epi16(y, mask, _mm512_cvtepi32_epi16(words));
}

// One row of outputs. `x`: the first image row under it; window rows are `pitch` numbers apart.
template <typename T>
TRIREME_AVX512 void max_row(const Pool2dGeometry& g, const T* x, int64_t pitch, T* y,
                            uint8_t* positions) {
  const int64_t channels = g.channels;
  for (int64_t ox = 0; ox < g.w.output; ++ox) {
    for (int64_t c = 0; c < channels; c += 16) {
      const __mmask16 mask = lanes(channels - c);
      const T* const corner = x + ox * g.w.stride * channels + c;
      __m512 best = load(mask, corner);
      __m512i where = _mm512_setzero_si512();
      for (int64_t wy = 0; wy < g.h.window; ++wy) {
        for (int64_t wx = 0; wx < g.w.window; ++wx) {
          const __m512 value = load(mask, corner + wy * pitch + wx * channels);
          const __mmask16 better = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
          best = _mm512_mask_mov_ps(best, better, value);
          where = _mm512_mask_mov_epi32(where, better,
                                        _mm512_set1_epi32(static_cast<int>(wy * g.w.window + wx)));
        }
      }
      store(mask, best, y + ox * channels + c);
      _mm512_mask_cvtepi32_storeu_epi8(positions + ox * channels + c, mask, where);
    }
  }
}

// The reverse: writes the windows of one row of outputs.
template <typename T>
TRIREME_AVX512 void grad_row(const Pool2dGeometry& g, const T* dy, const uint8_t* positions, T* dx,
                             int64_t pitch) {
  const int64_t channels = g.channels;
  for (int64_t ox = 0; ox < g.w.output; ++ox) {
    for (int64_t c = 0; c < channels; c += 16) {
      const __mmask16 mask = lanes(channels - c);
      const __m512 grad = load(mask, dy + ox * channels + c);
      const __m512i where = _mm512_maskz_cvtepu8_epi32(
          mask, _mm_maskz_loadu_epi8(mask, positions + ox * channels + c));
      T* const corner = dx + ox * g.w.stride * channels + c;
      for (int64_t wy = 0; wy < g.h.window; ++wy) {
        for (int64_t wx = 0; wx < g.w.window; ++wx) {
          const __mmask16 here = _mm512_cmpeq_epi32_mask(
              where, _mm512_set1_epi32(static_cast<int>(wy * g.w.window + wx)));
          store(mask, _mm512_maskz_mov_ps(here, grad), corner + wy * pitch + wx * channels);
        }
      }
    }
  }
}

}  // namespace

template <typename T>
PreparedKernel max_pool(const Pool2dGeometry& g) {
  return {[g](const KernelArgs& args) {
    const int64_t pitch = g.w.input * g.channels, row = g.w.output * g.channels;
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * g.h.output; i < end * g.h.output; ++i) {
        const int64_t n = i / g.h.output, oy = i % g.h.output;
        max_row(g, args.in<T>(0) + (n * g.h.input + oy * g.h.stride) * pitch, pitch,
                args.out<T>(0) + i * row, args.out<uint8_t>(1) + i * row);
      }
    });
  }};
}

template <typename T>
PreparedKernel max_pool_grad(const Pool2dGeometry& g) {
  // Where the windows tile the image, every number of dx is written.
  const bool tiles = g.h.output * g.h.window == g.h.input && g.w.output * g.w.window == g.w.input;
  return {[g, tiles](const KernelArgs& args) {
    const int64_t pitch = g.w.input * g.channels, row = g.w.output * g.channels;
    parallel_for(g.batch, grain(g), [&](int64_t begin, int64_t end) {
      T* const dx = args.out<T>();
      for (int64_t n = begin; n < end; ++n) {
        T* const image = dx + n * g.h.input * pitch;
        if (!tiles) std::fill_n(image, g.h.input * pitch, T());
        for (int64_t oy = 0; oy < g.h.output; ++oy) {
          const int64_t i = n * g.h.output + oy;
          grad_row(g, args.in<T>(0) + i * row, args.in<uint8_t>(1) + i * row,
                   image + oy * g.h.stride * pitch, pitch);
        }
      }
    });
  }};
}
#else
template <typename T>
PreparedKernel max_pool(const Pool2dGeometry&) {
  TRIREME_CHECK(false);
  return {};
}
template <typename T>
PreparedKernel max_pool_grad(const Pool2dGeometry&) {
  TRIREME_CHECK(false);
  return {};
}
#endif

template PreparedKernel max_pool<float>(const Pool2dGeometry&);
template PreparedKernel max_pool<BFloat16>(const Pool2dGeometry&);
template PreparedKernel max_pool_grad<float>(const Pool2dGeometry&);
template PreparedKernel max_pool_grad<BFloat16>(const Pool2dGeometry&);

}  // namespace trireme::pool_rows
