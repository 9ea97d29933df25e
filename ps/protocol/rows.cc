// Rows between f32 and the types that travel: loops that the compiler turns into vectors, for the
// processor's level.
//
// No fused multiply-add: every machine must make the same bytes of the same rows.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/tensor/dtype.h"
#include "ps/protocol/wire.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TRIREME_AVX2 __attribute__((target("avx2,f16c")))
#endif

namespace trireme::ps {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000;
constexpr float kInt8Range = 127;
// At so many elements a block and its copy stay in the nearest cache.
constexpr size_t kBlock = 1024;

inline uint32_t magnitude_bits(float x) { return std::bit_cast<uint32_t>(x) & 0x7fffffff; }

// ---- loops, to be inlined into a function of each level ----

#define TRIREME_LOOP inline __attribute__((always_inline)) void

TRIREME_LOOP encode_bf16_loop(const float* from, size_t n, uint16_t* to) {
  for (size_t i = 0; i < n; ++i) to[i] = BFloat16(from[i]).bits;
}

TRIREME_LOOP decode_bf16_loop(const uint16_t* from, size_t n, float* to) {
  for (size_t i = 0; i < n; ++i) to[i] = std::bit_cast<float>(uint32_t{from[i]} << 16);
}

TRIREME_LOOP largest_loop(const float* from, size_t n, uint32_t* largest) {
  uint32_t most = 0;
  for (size_t i = 0; i < n; ++i) most = std::max(most, magnitude_bits(from[i]));
  *largest = most;
}

TRIREME_LOOP quantise_loop(const float* from, size_t n, float inverse, int8_t* to) {
  // Added to a small number, it leaves the nearest integer in the lowest bits.
  constexpr float kShift = 12582912.0F;  // 1.5 · 2^23
  for (size_t i = 0; i < n; ++i) {
    const float shifted = from[i] * inverse + kShift;
    to[i] = static_cast<int8_t>(std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kShift));
  }
}

TRIREME_LOOP scale_loop(const int8_t* from, size_t n, float scale, float* to) {
  for (size_t i = 0; i < n; ++i) to[i] = scale * static_cast<float>(from[i]);
}

TRIREME_LOOP add_loop(const float* from, size_t n, float* to) {
  for (size_t i = 0; i < n; ++i) to[i] += from[i];
}

// What rounding lost; nothing where there was no number.
TRIREME_LOOP lose_loop(const float* sent, size_t n, float* residual) {
  for (size_t i = 0; i < n; ++i) {
    const float lost = residual[i] - sent[i];
    residual[i] = magnitude_bits(lost) < kInfinityBits ? lost : 0.0F;
  }
}

// ---- the loops of one level ----

struct Loops {
  void (*encode_bf16)(const float*, size_t, uint16_t*);
  void (*decode_bf16)(const uint16_t*, size_t, float*);
  void (*encode_f16)(const float*, size_t, uint16_t*);
  void (*decode_f16)(const uint16_t*, size_t, float*);
  void (*largest)(const float*, size_t, uint32_t*);
  void (*quantise)(const float*, size_t, float, int8_t*);
  void (*scale)(const int8_t*, size_t, float, float*);
  void (*add)(const float*, size_t, float*);
  void (*lose)(const float*, size_t, float*);
};

constexpr Loops kPlain = {
    .encode_bf16 = [](const float* f, size_t n, uint16_t* t) { encode_bf16_loop(f, n, t); },
    .decode_bf16 = [](const uint16_t* f, size_t n, float* t) { decode_bf16_loop(f, n, t); },
    .encode_f16 =
        [](const float* f, size_t n, uint16_t* t) {
          for (size_t i = 0; i < n; ++i) t[i] = Half(f[i]).bits;
        },
    .decode_f16 =
        [](const uint16_t* f, size_t n, float* t) {
          for (size_t i = 0; i < n; ++i) t[i] = static_cast<float>(std::bit_cast<Half>(f[i]));
        },
    .largest = [](const float* f, size_t n, uint32_t* t) { largest_loop(f, n, t); },
    .quantise = [](const float* f, size_t n, float s, int8_t* t) { quantise_loop(f, n, s, t); },
    .scale = [](const int8_t* f, size_t n, float s, float* t) { scale_loop(f, n, s, t); },
    .add = [](const float* f, size_t n, float* t) { add_loop(f, n, t); },
    .lose = [](const float* f, size_t n, float* t) { lose_loop(f, n, t); },
};

#if defined(__x86_64__)
TRIREME_AVX2 void encode_bf16_avx2(const float* f, size_t n, uint16_t* t) {
  encode_bf16_loop(f, n, t);
}
TRIREME_AVX2 void decode_bf16_avx2(const uint16_t* f, size_t n, float* t) {
  decode_bf16_loop(f, n, t);
}
TRIREME_AVX2 void largest_avx2(const float* f, size_t n, uint32_t* t) { largest_loop(f, n, t); }
TRIREME_AVX2 void quantise_avx2(const float* f, size_t n, float s, int8_t* t) {
  quantise_loop(f, n, s, t);
}
TRIREME_AVX2 void scale_avx2(const int8_t* f, size_t n, float s, float* t) {
  scale_loop(f, n, s, t);
}
TRIREME_AVX2 void add_avx2(const float* f, size_t n, float* t) { add_loop(f, n, t); }
TRIREME_AVX2 void lose_avx2(const float* f, size_t n, float* t) { lose_loop(f, n, t); }

TRIREME_AVX2 void encode_f16_avx2(const float* from, size_t n, uint16_t* to) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), bits);
  }
  kPlain.encode_f16(from + i, n - i, to + i);
}

TRIREME_AVX2 void decode_f16_avx2(const uint16_t* from, size_t n, float* to) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(bits));
  }
  kPlain.decode_f16(from + i, n - i, to + i);
}

constexpr Loops kAvx2 = {encode_bf16_avx2, decode_bf16_avx2, encode_f16_avx2,
                         decode_f16_avx2,  largest_avx2,     quantise_avx2,
                         scale_avx2,       add_avx2,         lose_avx2};
#endif

const Loops& loops() {
#if defined(__x86_64__)
  // No processor has AVX2 and lacks F16C, by which clang cannot ask.
  static const bool has_avx2 = __builtin_cpu_supports("avx2");
  if (has_avx2) return kAvx2;
#endif
  return kPlain;
}

void encode_int8_row(const Loops& run, const float* row, size_t dim, std::byte* wire) {
  uint32_t largest = 0;
  run.largest(row, dim, &largest);
  const float most = std::bit_cast<float>(largest);
  float scale = most / kInt8Range;
  auto* to = reinterpret_cast<int8_t*>(wire + sizeof(scale));
  if (largest >= kInfinityBits) {
    // One for every element, so that none is 0 · NaN by chance of the sign alone.
    scale = std::numeric_limits<float>::quiet_NaN();
    std::fill_n(to, dim, int8_t{1});
  } else if (scale < std::numeric_limits<float>::min()) {
    scale = 0;  // its inverse may be no number
    std::fill_n(to, dim, int8_t{0});
  } else {
    run.quantise(row, dim, kInt8Range / most, to);
  }
  std::memcpy(wire, &scale, sizeof(scale));
}

size_t row_count(RowType type, int64_t dim, size_t wire_bytes) {
  const size_t each = row_bytes(type, dim);
  TRIREME_CHECK(dim > 0 && wire_bytes % each == 0, wire_bytes, " bytes are no whole rows of ",
                each);
  return wire_bytes / each;
}

}  // namespace

void encode_rows(RowType type, int64_t dim, std::span<const float> rows, std::byte* wire) {
  const Loops& run = loops();
  const auto width = static_cast<size_t>(dim);
  TRIREME_CHECK(dim > 0 && rows.size() % width == 0, rows.size(), " elements are no whole rows of ",
                dim);
  switch (type) {
    case RowType::kFloat32:
      if (!rows.empty()) std::memcpy(wire, rows.data(), rows.size_bytes());
      break;
    case RowType::kBFloat16:
      run.encode_bf16(rows.data(), rows.size(), reinterpret_cast<uint16_t*>(wire));
      break;
    case RowType::kFloat16:
      run.encode_f16(rows.data(), rows.size(), reinterpret_cast<uint16_t*>(wire));
      break;
    case RowType::kInt8:
      for (size_t at = 0; at < rows.size(); at += width) {
        encode_int8_row(run, rows.data() + at, width, wire);
        wire += row_bytes(type, dim);
      }
      break;
  }
}

void decode_rows(RowType type, int64_t dim, std::span<const std::byte> wire, float* rows) {
  const Loops& run = loops();
  const auto width = static_cast<size_t>(dim);
  const size_t elements = row_count(type, dim, wire.size()) * width;
  switch (type) {
    case RowType::kFloat32:
      if (elements > 0) std::memcpy(rows, wire.data(), wire.size());
      break;
    case RowType::kBFloat16:
      run.decode_bf16(reinterpret_cast<const uint16_t*>(wire.data()), elements, rows);
      break;
    case RowType::kFloat16:
      run.decode_f16(reinterpret_cast<const uint16_t*>(wire.data()), elements, rows);
      break;
    case RowType::kInt8:
      for (const std::byte* row = wire.data(); row != wire.data() + wire.size();
           row += row_bytes(type, dim)) {
        float scale = 0;
        std::memcpy(&scale, row, sizeof(scale));
        run.scale(reinterpret_cast<const int8_t*>(row + sizeof(scale)), width, scale, rows);
        rows += width;
      }
      break;
  }
}

void encode_rows(RowType type, int64_t dim, std::span<const float> rows, float* residual,
                 std::byte* wire) {
  const Loops& run = loops();
  const auto width = static_cast<size_t>(dim);
  const size_t each = row_bytes(type, dim);
  std::vector<float> sent(std::max(width, kBlock / width * width));
  const size_t rows_at_once = sent.size() / width;
  for (size_t at = 0; at < rows.size();) {
    const size_t n = std::min(sent.size(), rows.size() - at);
    const size_t bytes = n / width * each;
    run.add(rows.data() + at, n, residual + at);
    encode_rows(type, dim, {residual + at, n}, wire);
    decode_rows(type, dim, {wire, bytes}, sent.data());
    run.lose(sent.data(), n, residual + at);
    at += rows_at_once * width;
    wire += bytes;
  }
}

}  // namespace trireme::ps
