// A block is four words. Each word of a block has a lane of 64 bits, because the multiplication of
// 32 by 32 bits that processors have reads the lower half of such a lane and ignores the upper:
// nothing ever has to be cut to 32 bits. Block i of a half of the vectors stands in lane 2i, block
// i of the other half in lane 2i + 1; so the two unpack instructions at the end give blocks in
// order.
#include "core/device/cpu/philox_words.h"

#include <algorithm>

#include "core/base/philox.h"
#include "core/device/cpu/avx512.h"

namespace trireme::philox_words {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

#if TRIREME_HAS_AVX512_BUILD && defined(__AVX2__)

// Vectors side by side, so that one's multiplications run while another's are under way.
constexpr int kVectors512 = 4, kVectors256 = 2;
static_assert(kGroup % (kVectors512 * 8) == 0 && kGroup % (kVectors256 * 4) == 0);

TRIREME_AVX512 void draw512(uint64_t key, uint64_t counter_high, uint64_t counter, int64_t blocks,
                            uint32_t* words) {
  const __m512i m0 = _mm512_set1_epi64(kMultiplier0), m1 = _mm512_set1_epi64(kMultiplier1);
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t i = 0; i < blocks; i += kVectors512 * 8, words += kVectors512 * 32) {
    __m512i c0[kVectors512], c1[kVectors512], c2[kVectors512], c3[kVectors512];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors512; ++v) {
      const uint64_t first = counter + static_cast<uint64_t>(i + v * 8);
      c0[v] = _mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(first)), order);
      c1[v] = _mm512_srli_epi64(c0[v], 32);
      c2[v] = _mm512_set1_epi64(static_cast<int64_t>(counter_high));
      c3[v] = _mm512_set1_epi64(static_cast<int64_t>(counter_high >> 32));
    }
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 9; ++round) {
      const __m512i key0 = _mm512_set1_epi32(static_cast<int>(k0)),
                    key1 = _mm512_set1_epi32(static_cast<int>(k1));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors512; ++v) {
        const __m512i p0 = _mm512_mul_epu32(c0[v], m0), p1 = _mm512_mul_epu32(c2[v], m1);
        // A shift and a shuffle do the same here, on different ports.
        c0[v] = _mm512_ternarylogic_epi32(_mm512_srli_epi64(p1, 32), c1[v], key0, 0x96);
        c2[v] =
            _mm512_ternarylogic_epi32(_mm512_shuffle_epi32(p0, _MM_PERM_DDBB), c3[v], key1, 0x96);
        c1[v] = p1;
        c3[v] = p0;
      }
      k0 += kWeyl0;
      k1 += kWeyl1;
    }
    // In the last round both new words of a product stay in one lane.
    const __m512i key0 = _mm512_set1_epi32(static_cast<int>(k0)),
                  key1 = _mm512_set1_epi32(static_cast<int>(k1));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors512; ++v) {
      const __m512i p0 = _mm512_mul_epu32(c0[v], m0), p1 = _mm512_mul_epu32(c2[v], m1);
      const __m512i w01 = _mm512_mask_ternarylogic_epi32(_mm512_shuffle_epi32(p1, _MM_PERM_CDAB),
                                                         0x5555, c1[v], key0, 0x96);
      const __m512i w23 = _mm512_mask_ternarylogic_epi32(_mm512_shuffle_epi32(p0, _MM_PERM_CDAB),
                                                         0x5555, c3[v], key1, 0x96);
      _mm512_storeu_si512(words + v * 32, _mm512_unpacklo_epi64(w01, w23));
      _mm512_storeu_si512(words + v * 32 + 16, _mm512_unpackhi_epi64(w01, w23));
    }
  }
}

void draw256(uint64_t key, uint64_t counter_high, uint64_t counter, int64_t blocks,
             uint32_t* words) {
  const __m256i m0 = _mm256_set1_epi64x(kMultiplier0), m1 = _mm256_set1_epi64x(kMultiplier1);
  const __m256i order = _mm256_setr_epi64x(0, 2, 1, 3);
  for (int64_t i = 0; i < blocks; i += kVectors256 * 4, words += kVectors256 * 16) {
    __m256i c0[kVectors256], c1[kVectors256], c2[kVectors256], c3[kVectors256];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors256; ++v) {
      const uint64_t first = counter + static_cast<uint64_t>(i + v * 4);
      c0[v] = _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first)), order);
      c1[v] = _mm256_srli_epi64(c0[v], 32);
      c2[v] = _mm256_set1_epi64x(static_cast<int64_t>(counter_high));
      c3[v] = _mm256_set1_epi64x(static_cast<int64_t>(counter_high >> 32));
    }
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const __m256i key0 = _mm256_set1_epi32(static_cast<int>(k0)),
                    key1 = _mm256_set1_epi32(static_cast<int>(k1));
#pragma GCC unroll 2
      for (int v = 0; v < kVectors256; ++v) {
        const __m256i p0 = _mm256_mul_epu32(c0[v], m0), p1 = _mm256_mul_epu32(c2[v], m1);
        c0[v] = _mm256_xor_si256(_mm256_xor_si256(c1[v], key0), _mm256_srli_epi64(p1, 32));
        c2[v] = _mm256_xor_si256(_mm256_xor_si256(c3[v], key1), _mm256_shuffle_epi32(p0, 0xF5));
        c1[v] = p1;
        c3[v] = p0;
      }
      k0 += kWeyl0;
      k1 += kWeyl1;
    }
#pragma GCC unroll 2
    for (int v = 0; v < kVectors256; ++v) {
      const __m256i w01 = _mm256_blend_epi32(c0[v], _mm256_slli_epi64(c1[v], 32), 0xAA);
      const __m256i w23 = _mm256_blend_epi32(c2[v], _mm256_slli_epi64(c3[v], 32), 0xAA);
      const auto to = reinterpret_cast<__m256i*>(words + v * 16);
      _mm256_storeu_si256(to, _mm256_unpacklo_epi64(w01, w23));
      _mm256_storeu_si256(to + 1, _mm256_unpackhi_epi64(w01, w23));
    }
  }
}

}  // namespace

void draw(uint64_t key, uint64_t counter_high, uint64_t counter, int64_t blocks, uint32_t* words) {
  (has_avx512() ? draw512 : draw256)(key, counter_high, counter, blocks, words);
}
#else
}  // namespace

void draw(uint64_t key, uint64_t counter_high, uint64_t counter, int64_t blocks, uint32_t* words) {
  for (int64_t i = 0; i < blocks; ++i) {
    const PhiloxBlock block = philox(key, counter_high, counter + static_cast<uint64_t>(i));
    std::copy(block.begin(), block.end(), words + 4 * i);
  }
}
#endif

}  // namespace trireme::philox_words
