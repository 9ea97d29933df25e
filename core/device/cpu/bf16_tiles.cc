#include "core/device/cpu/bf16_tiles.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/device/cpu/avx512.h"

namespace trireme::bf16_tiles {
namespace {

// 32 registers hold rows·vectors sums, `vectors` of b and a broadcast; more rows gain nothing.
constexpr std::array<int64_t, 5> kRows = {0, 14, 12, 8, 6};

}  // namespace

int64_t max_rows(int64_t vectors) { return kRows.at(static_cast<size_t>(vectors)); }

#if TRIREME_HAS_AVX512_BUILD
namespace {

__mmask16 lanes(int64_t count) {
  if (count >= kLanes) return __mmask16{0xFFFF};
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1);
}

template <int kVectors>
__attribute__((always_inline)) TRIREME_AVX512_BF16 inline void finish(
    const Tile& t, int64_t row, const __m512 (&sums)[kVectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    if (t.sums != nullptr) {
      _mm512_storeu_ps(t.sums + row * t.sums_row + v * kLanes, sums[v]);
      continue;
    }
    const __mmask16 mask = lanes(t.columns - v * kLanes);
    const int64_t at = row * t.y_row + v * kLanes;
    if (t.y != nullptr) {
      // The order matters: a NaN in the second operand is what max returns.
      const __m512 value = t.relu ? _mm512_max_ps(_mm512_setzero_ps(), sums[v]) : sums[v];
      const __m256bh small = _mm512_cvtneps_pbh(value);
      _mm256_mask_storeu_epi16(t.y + at, mask, (__m256i)small);
    } else if (t.wide_y != nullptr) {
      _mm512_mask_storeu_ps(t.wide_y + at, mask, sums[v]);
    } else {
      const __m512 old = _mm512_maskz_loadu_ps(mask, t.updated_y + at);
      _mm512_mask_storeu_ps(t.updated_y + at, mask,
                            _mm512_fnmadd_ps(_mm512_set1_ps(t.rate), sums[v], old));
    }
  }
}

// What is written only at the end comes from memory meanwhile.
template <int kCount, int kVectors>
__attribute__((always_inline)) TRIREME_AVX512_BF16 inline void prefetch_outputs(const Tile& t) {
  const float* const y = t.wide_y != nullptr ? t.wide_y : t.updated_y;
  if (t.sums != nullptr || t.y != nullptr || y == nullptr) return;
  for (int r = 0; r < kCount; ++r) {
    for (int v = 0; v < kVectors; ++v) _mm_prefetch(y + r * t.y_row + v * kLanes, _MM_HINT_T0);
  }
}

template <int kCount, int kVectors>
TRIREME_AVX512_BF16 void run_tile(const Tile& t) {
  __m512 sums[kCount][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = t.start != nullptr  ? _mm512_loadu_ps(t.start + r * t.sums_row + v * kLanes)
                   : t.bias != nullptr ? _mm512_loadu_ps(t.bias + v * kLanes)
                                       : _mm512_setzero_ps();
    }
  }
  prefetch_outputs<kCount, kVectors>(t);
  const int64_t row = t.a_row * 2, pair = t.a_pair * 2;  // bytes
  for (int64_t s = 0; s < t.segments; ++s) {
    const char* a = reinterpret_cast<const char*>(t.a + s * t.a_segment);
    const BFloat16* b = t.b + s * t.b_segment;
    for (int64_t p = t.pairs; p > 0; --p, a += pair, b += kVectors * 2 * kLanes) {
      __m512bh right[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        right[v] = (__m512bh)_mm512_loadu_si512(b + v * 2 * kLanes);
      }
      // Every third row gets an address of its own; the other two are one or two steps from it.
#pragma GCC unroll 16
      for (int r = 0; r < kCount; ++r) {
        const char* const third = a + (r / 3 * 3) * row;
        int32_t two;
        std::memcpy(&two, third + (r % 3) * row, sizeof two);
        const __m512bh left = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[r][v] = _mm512_dpbf16_ps(sums[r][v], left, right[v]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r) finish<kVectors>(t, r, sums[r]);
}

using Run = void (*)(const Tile&);
template <int kVectors, int... kCounts>
constexpr std::array<Run, sizeof...(kCounts)> tiles_of(std::integer_sequence<int, kCounts...>) {
  return {&run_tile<kCounts + 1, kVectors>...};
}
constexpr auto kTiles1 = tiles_of<1>(std::make_integer_sequence<int, kRows[1]>());
constexpr auto kTiles2 = tiles_of<2>(std::make_integer_sequence<int, kRows[2]>());
constexpr auto kTiles3 = tiles_of<3>(std::make_integer_sequence<int, kRows[3]>());
constexpr auto kTiles4 = tiles_of<4>(std::make_integer_sequence<int, kRows[4]>());

// 16 numbers of two rows, side by side.
__attribute__((always_inline)) TRIREME_AVX512_BF16 inline __m512i pairs_of(const BFloat16* first,
                                                                           const BFloat16* second,
                                                                           __mmask16 mask) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first));
  if (second == nullptr) return low;
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Transposes 16 rows of 16 words: x[i][j] becomes x[j][i].
__attribute__((always_inline)) TRIREME_AVX512_BF16 inline void transpose(__m512i (&x)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    x[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    x[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    x[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    x[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    x[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    x[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

TRIREME_AVX512_BF16 void pack_rows(const BFloat16* b, int64_t step, int64_t k, int64_t columns,
                                   int64_t vectors, BFloat16* to) {
  for (int64_t q = 0; q < k; q += 2, to += vectors * 2 * kLanes) {
    const BFloat16* const first = b + q * step;
    const bool has_second = q + 1 < k;
    for (int64_t v = 0; v < vectors; ++v) {
      const int64_t at = v * kLanes;
      _mm512_storeu_si512(
          to + 2 * at,
          pairs_of(first + at, has_second ? first + step + at : nullptr, lanes(columns - at)));
    }
  }
}

// Words of two numbers, 16 columns by 16 words at a time.
TRIREME_AVX512_BF16 void pack_columns(const BFloat16* b, int64_t step, int64_t k, int64_t columns,
                                      int64_t vectors, BFloat16* to) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t first = v * kLanes, count = std::min(kLanes, columns - first);
    for (int64_t p = 0; p < pairs; p += kLanes) {
      const int64_t numbers = std::min<int64_t>(2 * kLanes, k - 2 * p);
      const auto mask = static_cast<__mmask32>(numbers == 32 ? ~0u : (1u << numbers) - 1);
      __m512i x[16];
#pragma GCC unroll 16
      for (int c = 0; c < 16; ++c) {
        x[c] = c < count ? _mm512_maskz_loadu_epi16(mask, b + (first + c) * step + 2 * p)
                         : _mm512_setzero_si512();
      }
      transpose(x);
      const int64_t rows = std::min(kLanes, pairs - p);
#pragma GCC unroll 16
      for (int r = 0; r < 16; ++r) {
        if (r < rows) _mm512_storeu_si512(to + ((p + r) * vectors + v) * 2 * kLanes, x[r]);
      }
    }
  }
}

TRIREME_AVX512_BF16 void pack_left_panels(const BFloat16* a, int64_t step, int64_t k, int64_t m,
                                          BFloat16* to) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t q = 0; q < k; q += 2) {
    const BFloat16* const first = a + q * step;
    const bool has_second = q + 1 < k;
    BFloat16* panel = to + q * kPanelRows;
    for (int64_t i = 0; i < m; i += kPanelRows, panel += pairs * 2 * kPanelRows) {
      _mm512_storeu_si512(
          panel, pairs_of(first + i, has_second ? first + step + i : nullptr, lanes(m - i)));
    }
  }
}

TRIREME_AVX512_BF16 void interleave_all(const BFloat16* first, const BFloat16* second,
                                        int64_t count, BFloat16* to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = lanes(count - i);
    _mm512_mask_storeu_epi32(to + 2 * i, mask,
                             pairs_of(first + i, second == nullptr ? nullptr : second + i, mask));
  }
}

}  // namespace

void run(int64_t rows, int64_t vectors, const Tile& tile) {
  const auto index = static_cast<size_t>(rows - 1);
  switch (vectors) {
    case 1:
      return kTiles1[index](tile);
    case 2:
      return kTiles2[index](tile);
    case 3:
      return kTiles3[index](tile);
    default:
      return kTiles4[index](tile);
  }
}

void interleave(const BFloat16* first, const BFloat16* second, int64_t count, BFloat16* to) {
  interleave_all(first, second, count, to);
}

void pack_right(const BFloat16* b, int64_t step, bool transposed, int64_t k, int64_t columns,
                int64_t vectors, BFloat16* to) {
  (transposed ? pack_columns : pack_rows)(b, step, k, columns, vectors, to);
}

void pack_left(const BFloat16* a, int64_t step, int64_t k, int64_t m, BFloat16* to) {
  pack_left_panels(a, step, k, m, to);
}
#else
void run(int64_t, int64_t, const Tile&) { TRIREME_CHECK(false, "no AVX-512"); }
void interleave(const BFloat16*, const BFloat16*, int64_t, BFloat16*) {
  TRIREME_CHECK(false, "no AVX-512");
}
void pack_right(const BFloat16*, int64_t, bool, int64_t, int64_t, int64_t, BFloat16*) {
  TRIREME_CHECK(false, "no AVX-512");
}
void pack_left(const BFloat16*, int64_t, int64_t, int64_t, BFloat16*) {
  TRIREME_CHECK(false, "no AVX-512");
}
#endif

}  // namespace trireme::bf16_tiles
