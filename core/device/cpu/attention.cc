// Attention in blocks of queries and keys (Dao et al. 2022): a block of scores lies in the cache,
// and is computed again for the gradient.
//
// The operands of a head are copied once, as f32, to where rows are neighbours and padded; that is
// a small part of the work, and makes 16-bit floats and packed operands the same case. How heads
// and blocks are cut depends on the shapes alone, and each is computed by one thread: results do
// not depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/device/cpu/attention_parts.h"
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/bf16_attention.h"
#include "core/device/cpu/register.h"
#include "core/device/reference/register.h"

namespace trireme {

#if TRIREME_HAS_AVX512_BUILD
namespace {

using namespace attention_parts;
using attention_tiles::Functions;
using attention_tiles::functions;
using attention_tiles::kColumns;
using attention_tiles::kRowUnit;
using attention_tiles::transpose;

// Sizes of what one thread holds.
struct Sizes {
  int64_t dim, value_dim, keys;  // padded

  explicit Sizes(const AttentionLayout& l)
      : dim(round_up(l.dim, kColumns)),
        value_dim(round_up(l.value_dim, kColumns)),
        keys(round_up(std::max<int64_t>(l.k_len, 1), 4 * kRowUnit)) {}
};

// Rows [begin, end) of an operand's head as f32, `width` apart and filled up with zeros, and zeros
// up to row `padded`.
template <typename T>
void pack_rows(const AttentionLayout& l, const T* operand, const AttentionLayout::Rows& rows,
               int64_t b, int64_t head, int64_t numbers, int64_t begin, int64_t end, int64_t padded,
               int64_t width, float* to) {
  const T* from = operand + l.at(rows, b, begin, head, numbers);
  for (int64_t i = begin; i < end; ++i, from += rows.position_step, to += width) {
    to_floats(from, to, numbers);
    for (int64_t c = numbers; c < width; ++c) to[c] = 0;
  }
  std::fill_n(to, (padded - (end - begin)) * width, 0.0f);
}

// --- forward

struct ForwardSpace {
  float *keys, *rows, *queries, *query_rows, *scores, *sums;  // rows: of keys, then of values

  ForwardSpace(const AttentionLayout& l, Carver& c) : ForwardSpace(Sizes(l), c) {}
  ForwardSpace(const Sizes& s, Carver& c)
      : keys(c.take(s.dim * s.keys)),
        rows(c.take(s.keys * std::max(s.dim, s.value_dim))),
        queries(c.take(s.dim * kQueries)),
        query_rows(c.take(s.dim * kQueries)),
        scores(c.take(kQueries * kKeys)),
        sums(c.take(kQueries * s.value_dim)) {}
};

// The queries [begin, end) of one head.
template <typename T>
void forward(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t h, int64_t begin,
             int64_t end, const ForwardSpace& space) {
  const Sizes sizes(l);
  const Functions& f = functions();
  const int64_t kv = h / l.group();
  const int64_t keys = std::min(l.k_len, l.visible(end - 1));
  prefetch_rows(l, args.in<T>(l.v.input), l.v, b, kv, l.value_dim, 0, keys);
  pack_rows(l, args.in<T>(l.k.input), l.k, b, kv, l.dim, 0, keys, round_up(keys, 4 * kRowUnit),
            sizes.dim, space.rows);
  transpose(space.rows, round_up(keys, 4 * kRowUnit), sizes.dim, space.keys, sizes.keys);
  pack_rows(l, args.in<T>(l.v.input), l.v, b, kv, l.value_dim, 0, keys, keys, sizes.value_dim,
            space.rows);
  const float scale = static_cast<float>(l.scale);
  prefetch_rows(l, args.in<T>(l.q.input), l.q, b, h, l.dim, begin, std::min(end, begin + kQueries));
  float most[kQueries], total[kQueries];
  for (int64_t query = begin; query < end; query += kQueries) {
    const int64_t queries = std::min(kQueries, end - query);
    pack_rows(l, args.in<T>(l.q.input), l.q, b, h, l.dim, query, query + queries, kQueries,
              sizes.dim, space.query_rows);
    prefetch_rows(l, args.in<T>(l.q.input), l.q, b, h, l.dim, query + queries,
                  std::min(end, query + queries + kQueries));
    transpose(space.query_rows, kQueries, sizes.dim, space.queries, kQueries);
    std::fill_n(space.sums, kQueries * sizes.value_dim, 0.0f);
    std::fill_n(most, kQueries, -std::numeric_limits<float>::infinity());
    std::fill_n(total, kQueries, 0.0f);
    for (int64_t key = 0; key < l.k_len; key += kKeys) {
      if (is_hidden(l, query + queries - 1, key)) break;
      const Block block = block_at(l, query, queries, key);
      f.products(block, space.queries, space.keys + key, sizes.keys, sizes.dim, space.scores);
      for (int64_t i = 0; i < queries; ++i) {
        const bool* const mask = l.mask_row(args, b, h, query + i);
        const float before = most[i];
        const float sum = f.forward_row(space.scores + i * kKeys, block.limit(i), block.width(),
                                        scale, mask == nullptr ? nullptr : mask + key, most[i]);
        if (key > 0 && before != most[i]) {
          const float factor = std::exp(before - most[i]);
          total[i] *= factor;
          scale_row(space.sums + i * sizes.value_dim, factor, sizes.value_dim);
        }
        total[i] += sum;
      }
      f.add_weighted(block, space.scores, space.rows + key * sizes.value_dim, sizes.value_dim,
                     space.sums);
    }
    for (int64_t i = 0; i < queries; ++i) {
      store_row(space.sums + i * sizes.value_dim, total[i] == 0 ? 0.0f : 1 / total[i], l.value_dim,
                args.out<T>(0) + l.at(l.y, b, query + i, h, l.value_dim));
      args.out<float>(1)[(b * l.heads + h) * l.q_len + query + i] = most[i] + std::log(total[i]);
    }
  }
}

template <typename T>
PreparedKernel attention(const KernelSpec& spec) {
  const AttentionLayout l(spec, 0);
  return over_queries<ForwardSpace>(
      l, [l](const KernelArgs& args, int64_t b, int64_t h, int64_t begin, int64_t end,
             const ForwardSpace& space) { forward<T>(l, args, b, h, begin, end, space); });
}

// --- gradient

struct BackwardSpace {
  float *key_rows, *keys, *values;                      // transposed but for key_rows
  float *query_rows, *queries, *dy_rows, *dys, *y_row;  // of a block
  float *scores, *dscores, *dq, *dk, *dv;

  BackwardSpace(const AttentionLayout& l, Carver& c) : BackwardSpace(Sizes(l), c) {}
  BackwardSpace(const Sizes& s, Carver& c)
      : key_rows(c.take(s.keys * s.dim)),
        keys(c.take(s.keys * s.dim)),
        values(c.take(s.keys * s.value_dim)),
        query_rows(c.take(kQueries * s.dim)),
        queries(c.take(kQueries * s.dim)),
        dy_rows(c.take(kQueries * s.value_dim)),
        dys(c.take(kQueries * s.value_dim)),
        y_row(c.take(s.value_dim)),
        scores(c.take(kQueries * kKeys)),
        dscores(c.take(kQueries * kKeys)),
        dq(c.take(kQueries * s.dim)),
        dk(c.take(s.keys * s.dim)),
        dv(c.take(s.keys * s.value_dim)) {}
};

float dot(const float* a, const float* b, int64_t count) {  // padded to kColumns
  float sums[kColumns] = {};
  for (int64_t i = 0; i < count; i += kColumns) {
    for (int64_t c = 0; c < kColumns; ++c) sums[c] += a[i + c] * b[i + c];
  }
  float sum = 0;
  for (float x : sums) sum += x;
  return sum;
}

template <typename T>
void prefetch_block(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t h,
                    int64_t query) {
  const int64_t end = std::min(l.q_len, query + kQueries);
  prefetch_rows(l, args.in<T>(l.q.input), l.q, b, h, l.dim, query, end);
  prefetch_rows(l, args.in<T>(0), l.y, b, h, l.value_dim, query, end);
  prefetch_rows(l, args.in<T>(1), l.y, b, h, l.value_dim, query, end);
}

// One block of queries of a head: adds to the gradients of keys and values, and writes that of the
// queries.
template <typename T>
void backward_block(const AttentionLayout& l, const Sizes& sizes, const KernelArgs& args, int64_t b,
                    int64_t h, int64_t query, const BackwardSpace& space) {
  const Functions& f = functions();
  const int64_t queries = std::min(kQueries, l.q_len - query);
  const float scale = static_cast<float>(l.scale);
  pack_rows(l, args.in<T>(l.q.input), l.q, b, h, l.dim, query, query + queries, kQueries, sizes.dim,
            space.query_rows);
  transpose(space.query_rows, kQueries, sizes.dim, space.queries, kQueries);
  pack_rows(l, args.in<T>(0), l.y, b, h, l.value_dim, query, query + queries, kQueries,
            sizes.value_dim, space.dy_rows);
  transpose(space.dy_rows, kQueries, sizes.value_dim, space.dys, kQueries);
  float centre[kQueries];
  for (int64_t i = 0; i < queries; ++i) {
    pack_rows(l, args.in<T>(1), l.y, b, h, l.value_dim, query + i, query + i + 1, 1,
              sizes.value_dim, space.y_row);
    centre[i] = dot(space.dy_rows + i * sizes.value_dim, space.y_row, sizes.value_dim);
  }
  prefetch_block<T>(l, args, b, h, query + queries);
  const float* const log_sum_exp = args.in<float>(2) + (b * l.heads + h) * l.q_len + query;
  std::fill_n(space.dq, kQueries * sizes.dim, 0.0f);
  for (int64_t key = 0; key < l.k_len; key += kKeys) {
    if (is_hidden(l, query + queries - 1, key)) break;
    const Block block = block_at(l, query, queries, key);
    f.products(block, space.queries, space.keys + key, sizes.keys, sizes.dim, space.scores);
    f.products(block, space.dys, space.values + key, sizes.keys, sizes.value_dim, space.dscores);
    for (int64_t i = 0; i < queries; ++i) {
      const bool* const mask = l.mask_row(args, b, h, query + i);
      f.backward_row(space.scores + i * kKeys, space.dscores + i * kKeys, block.limit(i),
                     block.width(), scale, mask == nullptr ? nullptr : mask + key, log_sum_exp[i],
                     centre[i]);
    }
    f.add_transposed(block, space.scores, space.dy_rows, sizes.value_dim,
                     space.dv + key * sizes.value_dim);
    f.add_transposed(block, space.dscores, space.query_rows, sizes.dim, space.dk + key * sizes.dim);
    f.add_weighted(block, space.dscores, space.key_rows + key * sizes.dim, sizes.dim, space.dq);
  }
  for (int64_t i = 0; i < queries; ++i) {
    store_row(space.dq + i * sizes.dim, scale, l.dim,
              args.out<T>(0) + l.at(l.q, b, query + i, h, l.dim));
  }
}

// All heads that one head of keys and values serves.
template <typename T>
void backward(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t kv,
              const BackwardSpace& space) {
  const Sizes sizes(l);
  prefetch_rows(l, args.in<T>(l.k.input), l.k, b, kv, l.dim, 0, l.k_len);
  pack_rows(l, args.in<T>(l.v.input), l.v, b, kv, l.value_dim, 0, l.k_len, sizes.keys,
            sizes.value_dim, space.dv);
  transpose(space.dv, sizes.keys, sizes.value_dim, space.values, sizes.keys);
  pack_rows(l, args.in<T>(l.k.input), l.k, b, kv, l.dim, 0, l.k_len, sizes.keys, sizes.dim,
            space.key_rows);
  transpose(space.key_rows, sizes.keys, sizes.dim, space.keys, sizes.keys);
  std::fill_n(space.dk, sizes.keys * sizes.dim, 0.0f);
  std::fill_n(space.dv, sizes.keys * sizes.value_dim, 0.0f);
  for (int64_t h = kv * l.group(); h < (kv + 1) * l.group(); ++h) {
    prefetch_block<T>(l, args, b, h, 0);
    for (int64_t query = 0; query < l.q_len; query += kQueries) {
      backward_block<T>(l, sizes, args, b, h, query, space);
    }
  }
  T* const dk = args.out<T>(l.packed ? 0 : 1);
  T* const dv = args.out<T>(l.packed ? 0 : 2);
  for (int64_t j = 0; j < l.k_len; ++j) {
    store_row(space.dk + j * sizes.dim, static_cast<float>(l.scale), l.dim,
              dk + l.at(l.k, b, j, kv, l.dim));
    store_row(space.dv + j * sizes.value_dim, 1.0f, l.value_dim,
              dv + l.at(l.v, b, j, kv, l.value_dim));
  }
}

template <typename T>
PreparedKernel attention_grad(const KernelSpec& spec) {
  const AttentionLayout l(spec, 3);
  return over_units<BackwardSpace>(
      l, l.batch * l.kv_heads,
      [=](const KernelArgs& args, int64_t unit, const BackwardSpace& space) {
        backward<T>(l, args, unit / l.kv_heads, unit % l.kv_heads, space);
      });
}

}  // namespace

void register_cpu_attention(KernelTable& table) {
  register_attention_by_loops(table, kCpuKind, DType::kFloat64);
  add_for<float, Half, BFloat16>(
      table, "Attention", kCpuKind, []<typename T>(const KernelSpec& spec) {
        if (std::is_same_v<T, BFloat16> && bf16_attention::suits(spec, 0)) {
          return bf16_attention::forward(spec);
        }
        return attention<T>(spec);
      });
  add_for<float, Half, BFloat16>(
      table, "AttentionGrad", kCpuKind, []<typename T>(const KernelSpec& spec) {
        if (std::is_same_v<T, BFloat16> && bf16_attention::suits(spec, 3)) {
          return bf16_attention::backward(spec);
        }
        return attention_grad<T>(spec);
      });
}
#else
void register_cpu_attention(KernelTable& table) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
    register_attention_by_loops(table, kCpuKind, dtype);
  }
}
#endif

}  // namespace trireme
