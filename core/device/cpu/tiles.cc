#include "core/device/cpu/tiles.h"

#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/device/cpu/avx512.h"

namespace trireme::tiles {

namespace {
// 32 registers hold rows·vectors sums, `vectors` of b and a broadcast; more rows than these gain
// nothing.
constexpr std::array<int64_t, 5> kDotRows = {0, 14, 12, 8, 6};
constexpr std::array<int64_t, 3> kOuterColumns = {0, 16, 12};  // of one filter row
constexpr int64_t kOuterBlockColumns = 5;                      // of several
}  // namespace

int64_t max_dot_rows(int64_t vectors) { return kDotRows.at(static_cast<size_t>(vectors)); }

int64_t max_outer_columns(int64_t filter_rows, int64_t vectors) {
  if (filter_rows == 1) return kOuterColumns.at(static_cast<size_t>(vectors));
  return (filter_rows == 3 || filter_rows == 5) && vectors == 1 ? kOuterBlockColumns : 0;
}

#if TRIREME_HAS_AVX512_BUILD
namespace {

__mmask16 lanes(int64_t count) {
  if (count >= kLanes) return __mmask16{0xFFFF};
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1);
}

template <int kRows, int kVectors>
TRIREME_AVX512 void dot(const DotTile& t) {
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[m][v] = t.bias != nullptr ? _mm512_loadu_ps(t.bias + v * kLanes) : _mm512_setzero_ps();
    }
  }
  const int64_t step = t.a_step;
  for (int64_t s = 0; s < t.segments; ++s) {
    const float* a = t.a + s * t.a_segment;
    const float* b = t.b + s * t.b_segment;
    const float* const end = a + t.k;
    for (; a != end; ++a, b += kVectors * kLanes) {
      __m512 right[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_ps(b + v * kLanes);
        // Every third row gets an address of its own; the other two are one or two steps from it.
#pragma GCC unroll 16
      for (int m = 0; m < kRows; ++m) {
        const float* const third = a + (m / 3 * 3) * step;
        const __m512 left = _mm512_set1_ps(third[(m % 3) * step]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[m][v] = _mm512_fmadd_ps(left, right[v], sums[m][v]);
        }
      }
    }
  }
  const __m512 floor = t.relu ? _mm512_setzero_ps() : _mm512_set1_ps(-__builtin_inff());
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      // The order matters: a NaN in the second operand is what max returns.
      const __m512 value = _mm512_mask_max_ps(sums[m][v], __mmask16{0xFFFF}, floor, sums[m][v]);
      float* const to = t.y + m * t.y_step + v * kLanes;
      if (kVectors == 1 && t.columns <= 8) {
        // Half as wide, so that half as many stores cross a cache line.
        _mm256_mask_storeu_ps(to, static_cast<__mmask8>(lanes(t.columns)),
                              _mm512_castps512_ps256(value));
      } else {
        _mm512_mask_storeu_ps(to, lanes(t.columns - v * kLanes), value);
      }
    }
  }
}

// Writes 16 rows that stand in the lanes of `columns`, or the first `rows` of them.
__attribute__((always_inline)) TRIREME_AVX512 inline void store_transposed(
    const __m512 (&columns)[kMaxNarrowColumns], __mmask8 mask, int64_t rows, float* y,
    int64_t y_step) {
  __m512d fours[2][4];  // [h][i]: columns 4h … 4h + 3 of rows i, 4 + i, 8 + i and 12 + i
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const __m512* const c = columns + 4 * h;
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(c[0], c[1])),
                  low23 = _mm512_castps_pd(_mm512_unpacklo_ps(c[2], c[3])),
                  high01 = _mm512_castps_pd(_mm512_unpackhi_ps(c[0], c[1])),
                  high23 = _mm512_castps_pd(_mm512_unpackhi_ps(c[2], c[3]));
    fours[h][0] = _mm512_unpacklo_pd(low01, low23);
    fours[h][1] = _mm512_unpackhi_pd(low01, low23);
    fours[h][2] = _mm512_unpacklo_pd(high01, high23);
    fours[h][3] = _mm512_unpackhi_pd(high01, high23);
  }
  const __m512i first_half = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                second_half = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512 two = _mm512_castpd_ps(
          _mm512_permutex2var_pd(fours[0][i], half == 0 ? first_half : second_half, fours[1][i]));
      const int row = 8 * half + i;
      if (row < rows) _mm256_mask_storeu_ps(y + row * y_step, mask, _mm512_castps512_ps256(two));
      if (row + 4 < rows) {
        _mm256_mask_storeu_ps(y + (row + 4) * y_step, mask, _mm512_extractf32x8_ps(two, 1));
      }
    }
  }
}

template <int kColumns, int kVectors>
TRIREME_AVX512 void narrow_dot(int64_t rows, const DotTile& t) {
  __m512 sums[kColumns][kVectors];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      sums[c][v] = t.bias != nullptr ? _mm512_set1_ps(t.bias[c]) : _mm512_setzero_ps();
    }
  }
  __mmask16 masks[kVectors];
  for (int v = 0; v < kVectors; ++v) masks[v] = lanes(rows - v * kLanes);
  for (int64_t s = 0; s < t.segments; ++s) {
    const float* a = t.a + s * t.a_segment;
    const float* b = t.b + s * t.b_segment;
    const float* const end = a + t.k;
    for (; a != end; ++a, b += kLanes) {
      __m512 left[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) left[v] = _mm512_maskz_loadu_ps(masks[v], a + v * kLanes);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const __m512 right = _mm512_set1_ps(b[c]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          sums[c][v] = _mm512_fmadd_ps(left[v], right, sums[c][v]);
        }
      }
    }
  }
  const __m512 floor = t.relu ? _mm512_setzero_ps() : _mm512_set1_ps(-__builtin_inff());
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    __m512 columns[kMaxNarrowColumns];
#pragma GCC unroll 8
    for (int c = 0; c < kMaxNarrowColumns; ++c) {
      // The order matters: a NaN in the second operand is what max returns.
      columns[c] = c < kColumns
                       ? _mm512_mask_max_ps(sums[c < kColumns ? c : 0][v], __mmask16{0xFFFF}, floor,
                                            sums[c < kColumns ? c : 0][v])
                       : _mm512_setzero_ps();
    }
    store_transposed(columns, static_cast<__mmask8>(lanes(kColumns)), rows - v * kLanes,
                     t.y + v * kLanes * t.y_step, t.y_step);
  }
}

template <int kFilterRows, int kColumns, int kVectors>
TRIREME_AVX512 void outer(const OuterTile& t) {
  __m512 sums[kFilterRows][kColumns][kVectors];
#pragma GCC unroll 8
  for (int f = 0; f < kFilterRows; ++f) {
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[f][j][v] = _mm512_setzero_ps();
    }
  }
  __mmask16 masks[kVectors];
  for (int v = 0; v < kVectors; ++v) masks[v] = lanes(t.g_columns - v * kLanes);
  for (int64_t l = 0; l < t.lines; ++l) {
    const float* x = t.x + l * t.x_line;
    const float* g = t.g + l * t.g_line;
    for (int64_t p = 0; p < t.pixels; ++p, x += t.x_step, g += t.g_step) {
      __m512 right[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        right[v] = _mm512_maskz_loadu_ps(masks[v], g + v * kLanes);
      }
#pragma GCC unroll 8
      for (int f = 0; f < kFilterRows; ++f) {
        const float* const row = x + f * t.x_filter_row;
#pragma GCC unroll 16
        for (int j = 0; j < kColumns; ++j) {
          const __m512 left = _mm512_set1_ps(row[j]);
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) {
            sums[f][j][v] = _mm512_fmadd_ps(left, right[v], sums[f][j][v]);
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int f = 0; f < kFilterRows; ++f) {
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        float* const to = t.sums + f * t.sums_filter_row + (j * kVectors + v) * kLanes;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sums[f][j][v]));
      }
    }
  }
}

// Sums in a register: read, added to and written back in memory, each sum would wait for the one
// before it.
TRIREME_AVX512 void add_overlaps(const OverlapAdd& t) {
  const __mmask16 mask = lanes(t.channels);
  // i + before = o·stride + f with the smallest f, kept up to date: a division for each would cost
  // more than the sums.
  int64_t o = t.before / t.stride, f = t.before % t.stride;
  const int64_t next_tap = t.stride * t.channels - t.line_step;  // f + stride, o − 1
  for (int64_t i = 0; i < t.inputs; ++i) {
    const int64_t skip = o >= t.outputs ? o - t.outputs + 1 : 0;
    const float* from = t.line + o * t.line_step + f * t.channels + skip * next_tap;
    __m512 sum = _mm512_setzero_ps();
    int64_t tap = f + skip * t.stride;
    for (int64_t left = o - skip; left >= 0 && tap < t.window; --left, tap += t.stride) {
      sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, from));
      from += next_tap;
    }
    _mm512_mask_storeu_ps(t.to + i * t.channels, mask, sum);
    if (++f == t.stride) {
      f = 0;
      ++o;
    }
  }
}

using Dot = void (*)(const DotTile&);
using NarrowDot = void (*)(int64_t, const DotTile&);
using Outer = void (*)(const OuterTile&);

template <int kVectors, int... kRows>
constexpr std::array<Dot, sizeof...(kRows)> dots(std::integer_sequence<int, kRows...>) {
  return {&dot<kRows + 1, kVectors>...};
}
template <int kVectors, int... kColumns>
constexpr std::array<NarrowDot, sizeof...(kColumns)> narrow_dots(
    std::integer_sequence<int, kColumns...>) {
  return {&narrow_dot<kColumns + 1, kVectors>...};
}
template <int kFilterRows, int kVectors, int... kColumns>
constexpr std::array<Outer, sizeof...(kColumns)> outers(std::integer_sequence<int, kColumns...>) {
  return {&outer<kFilterRows, kColumns + 1, kVectors>...};
}

constexpr auto kDots1 = dots<1>(std::make_integer_sequence<int, kDotRows[1]>());
constexpr auto kDots2 = dots<2>(std::make_integer_sequence<int, kDotRows[2]>());
constexpr auto kDots3 = dots<3>(std::make_integer_sequence<int, kDotRows[3]>());
constexpr auto kDots4 = dots<4>(std::make_integer_sequence<int, kDotRows[4]>());
constexpr auto kNarrowDots1 = narrow_dots<1>(std::make_integer_sequence<int, kMaxNarrowColumns>());
constexpr auto kNarrowDots2 = narrow_dots<2>(std::make_integer_sequence<int, kMaxNarrowColumns>());
constexpr auto kOuters1 = outers<1, 1>(std::make_integer_sequence<int, kOuterColumns[1]>());
constexpr auto kOuters2 = outers<1, 2>(std::make_integer_sequence<int, kOuterColumns[2]>());
constexpr auto kOuters3x = outers<3, 1>(std::make_integer_sequence<int, kOuterBlockColumns>());
constexpr auto kOuters5x = outers<5, 1>(std::make_integer_sequence<int, kOuterBlockColumns>());

}  // namespace

void dot_tile(int64_t rows, int64_t vectors, const DotTile& tile) {
  const auto index = static_cast<size_t>(rows - 1);
  switch (vectors) {
    case 1:
      return kDots1[index](tile);
    case 2:
      return kDots2[index](tile);
    case 3:
      return kDots3[index](tile);
    default:
      return kDots4[index](tile);
  }
}

void narrow_dot_tile(int64_t rows, const DotTile& tile) {
  const auto index = static_cast<size_t>(tile.columns - 1);
  (rows <= kLanes ? kNarrowDots1 : kNarrowDots2)[index](rows, tile);
}

void outer_tile(int64_t filter_rows, int64_t k, int64_t vectors, const OuterTile& tile) {
  const auto index = static_cast<size_t>(k - 1);
  if (filter_rows == 3) return kOuters3x[index](tile);
  if (filter_rows == 5) return kOuters5x[index](tile);
  return vectors == 1 ? kOuters1[index](tile) : kOuters2[index](tile);
}

void overlap_add(const OverlapAdd& add) { add_overlaps(add); }
#else
void overlap_add(const OverlapAdd&) { TRIREME_CHECK(false, "no AVX-512"); }
void dot_tile(int64_t, int64_t, const DotTile&) { TRIREME_CHECK(false, "no AVX-512"); }
void narrow_dot_tile(int64_t, const DotTile&) { TRIREME_CHECK(false, "no AVX-512"); }
void outer_tile(int64_t, int64_t, int64_t, const OuterTile&) { TRIREME_CHECK(false, "no AVX-512"); }
#endif

}  // namespace trireme::tiles
