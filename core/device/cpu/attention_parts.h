// What the kernels of attention in f32 and in bf16 share: scratch memory, rows in and out, and how
// heads are given out to threads. Private to this folder.
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/base/parallel.h"
#include "core/device/attention_layout.h"
#include "core/device/cpu/attention_tiles.h"
#include "core/device/cpu/avx512.h"
#include "core/device/small_floats.h"

#if TRIREME_HAS_AVX512_BUILD
namespace trireme::attention_parts {

using attention_tiles::Block;
using attention_tiles::kKeys;
using attention_tiles::kQueries;

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Rows are short: a call of memcpy for each would cost as much again.
inline void to_floats(const float* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(to + i, _mm256_loadu_ps(from + i));
  for (; i < count; ++i) to[i] = from[i];
}
template <typename T>
void to_floats(const T* from, float* to, int64_t count) {
  widen(from, to, count);
}

// Asks for rows of an operand's head that are read soon: they are too far apart for the processor
// to see them coming.
template <typename T>
void prefetch_rows(const AttentionLayout& l, const T* operand, const AttentionLayout::Rows& rows,
                   int64_t b, int64_t head, int64_t numbers, int64_t begin, int64_t end) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const T* from = operand + l.at(rows, b, begin, head, numbers);
  for (int64_t i = begin; i < end; ++i, from += rows.position_step) {
    for (int64_t c = 0; c < numbers; c += kLine) __builtin_prefetch(from + c, 0, 2);
  }
}

// Blocks of floats, one after another, each aligned to a cache line.
class Carver {
 public:
  explicit Carver(float* at) : at_(at) {}
  float* take(int64_t floats) {
    float* const taken = at_ + used_;
    used_ += round_up(floats, 16);
    return taken;
  }
  int64_t used() const { return used_; }

 private:
  float* at_;
  int64_t used_ = 0;
};

template <typename T>
void store_row(const float* from, float factor, int64_t count, T* to) {
  if constexpr (std::is_same_v<T, float>) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i] * factor;
    return;
  } else {
    constexpr int64_t kPiece = 64;
    for (int64_t i = 0; i < count; i += kPiece) {
      const int64_t size = std::min(kPiece, count - i);
      float scaled[kPiece];
      for (int64_t c = 0; c < size; ++c) scaled[c] = from[i + c] * factor;
      narrow(scaled, to + i, size);
    }
  }
}

inline void scale_row(float* row, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
}

inline Block block_at(const AttentionLayout& l, int64_t query, int64_t queries, int64_t key) {
  return {queries, std::min(kKeys, l.k_len - key), l.causal, query - key};
}

// Whether the queries up to `last` see nothing from `key` on.
inline bool is_hidden(const AttentionLayout& l, int64_t last, int64_t key) {
  return l.causal && key > last;
}

// Runs run(unit, space) for each of `units`, on all threads.
template <typename Space, typename Run>
PreparedKernel over_units(const AttentionLayout& l, int64_t units, Run run) {
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(units, 2 * compute_threads()));
  Carver measure(nullptr);
  { [[maybe_unused]] const Space space(l, measure); }
  const int64_t floats = measure.used();
  return {[=](const KernelArgs& args) {
            parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
              for (int64_t part = begin; part < end; ++part) {
                Carver carver(static_cast<float*>(args.scratch) + part * floats);
                const Space space(l, carver);
                for (int64_t u = units * part / parts; u < units * (part + 1) / parts; ++u) {
                  run(args, u, space);
                }
              }
            });
          },
          static_cast<size_t>(parts * floats) * sizeof(float)};
}

// How the queries of a head are cut where there are few heads: its keys are packed as often.
struct Cuts {
  int64_t blocks, heads, cuts;

  explicit Cuts(const AttentionLayout& l)
      : blocks((l.q_len + kQueries - 1) / kQueries),
        heads(l.batch * l.heads),
        cuts(heads == 0 ? 1
                        : std::clamp<int64_t>(2 * compute_threads() / heads, 1,
                                              std::max<int64_t>(blocks, 1))) {}
  int64_t units() const { return blocks == 0 ? 0 : heads * cuts; }
};

// Runs forward(args, b, head, begin, end, space) for the queries [begin, end) of each head.
template <typename Space, typename Forward>
PreparedKernel over_queries(const AttentionLayout& l, Forward forward) {
  const Cuts cuts(l);
  return over_units<Space>(
      l, cuts.units(), [=](const KernelArgs& args, int64_t unit, const Space& space) {
        const int64_t head = unit / cuts.cuts, cut = unit % cuts.cuts;
        const int64_t begin = cuts.blocks * cut / cuts.cuts * kQueries,
                      end = std::min(l.q_len, cuts.blocks * (cut + 1) / cuts.cuts * kQueries);
        if (begin < end) forward(args, head / l.heads, head % l.heads, begin, end, space);
      });
}

}  // namespace trireme::attention_parts
#endif
