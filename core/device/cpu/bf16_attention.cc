#include "core/device/cpu/bf16_attention.h"

#include <cmath>
#include <limits>

#include "core/device/cpu/attention_parts.h"
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/bf16_tiles.h"

namespace trireme::bf16_attention {

#if TRIREME_HAS_AVX512_BUILD
namespace {

using namespace attention_parts;
using attention_tiles::functions;
using bf16_tiles::kLanes;
using bf16_tiles::kPanelRows;
using bf16_tiles::Tile;

// Keys, or values, that stand in the columns of one packed matrix.
constexpr int64_t kGroup = 2 * kLanes;

int64_t vectors_of(int64_t numbers) { return (numbers + kLanes - 1) / kLanes; }
int64_t pairs_of(int64_t numbers) { return (numbers + 1) / 2; }

// bf16 numbers in a block of floats.
BFloat16* small(float* floats) { return reinterpret_cast<BFloat16*>(floats); }

// Rows of one operand's head.
struct HeadRows {
  const BFloat16* at;
  int64_t step;

  HeadRows(const AttentionLayout& l, const KernelArgs& args, const AttentionLayout::Rows& rows,
           int input, int64_t b, int64_t head, int64_t numbers)
      : at(args.in<BFloat16>(input) + l.at(rows, b, 0, head, numbers)), step(rows.position_step) {}
};

// The rows [0, count) as columns of right factors, kGroup at a time; those from row j on begin at
// j·numbers.
void pack_columns(HeadRows rows, int64_t count, int64_t numbers, BFloat16* to) {
  for (int64_t j = 0; j < count; j += kGroup) {
    bf16_tiles::pack_right(rows.at + j * rows.step, rows.step, true, numbers,
                           std::min(kGroup, count - j), 2, to + j * numbers);
  }
}
// The rows [begin, end) as rows of one right factor.
void pack_rows(HeadRows rows, int64_t begin, int64_t end, int64_t numbers, BFloat16* to) {
  bf16_tiles::pack_right(rows.at + begin * rows.step, rows.step, false, end - begin, numbers,
                         vectors_of(numbers), to);
}
int64_t packed_rows_size(int64_t rows, int64_t numbers) {
  return pairs_of(rows) * vectors_of(numbers) * 2 * kLanes;
}

// scores[i][j] = Σ left[first + i]·column j, for what counts and some others.
void products(const Block& block, HeadRows left, int64_t first, int64_t numbers,
              const BFloat16* columns, float* scores) {
  const int64_t most = bf16_tiles::max_rows(2);
  for (int64_t j = 0; j < block.keys; j += kGroup) {
    for (int64_t i = block.first_query(j); i < block.queries; i += most) {
      bf16_tiles::run(std::min(most, block.queries - i), 2,
                      {.a = left.at + (first + i) * left.step,
                       .a_row = left.step,
                       .a_pair = 2,
                       .a_segment = 0,
                       .segments = 1,
                       .pairs = numbers / 2,
                       .b = columns + j * numbers,
                       .b_segment = 0,
                       .sums = scores + i * kKeys + j,
                       .sums_row = kKeys});
    }
  }
}

// y[i] += Σ over j of p[i][j]·x[j]; x: packed rows, y: rows of whole vectors.
void add_weighted(const Block& block, const BFloat16* p, const BFloat16* x, int64_t numbers,
                  float* y) {
  const int64_t vectors = vectors_of(numbers), most = bf16_tiles::max_rows(vectors);
  for (int64_t i = 0; i < block.queries; i += most) {
    const int64_t rows = std::min(most, block.queries - i);
    float* const sums = y + i * vectors * kLanes;
    bf16_tiles::run(rows, vectors,
                    {.a = p + i * kKeys,
                     .a_row = kKeys,
                     .a_pair = 2,
                     .a_segment = 0,
                     .segments = 1,
                     .pairs = pairs_of(block.limit(i + rows - 1)),
                     .b = x,
                     .b_segment = 0,
                     .start = sums,
                     .sums = sums,
                     .sums_row = vectors * kLanes});
  }
}

// y[j] += Σ over i of p[i][j]·x[i]; `turned`: room for p the other way.
void add_transposed(const Block& block, const BFloat16* p, const BFloat16* x, int64_t numbers,
                    BFloat16* turned, float* y) {
  const int64_t vectors = vectors_of(numbers), most = bf16_tiles::max_rows(vectors);
  const int64_t pairs = pairs_of(block.queries);
  bf16_tiles::pack_left(p, kKeys, block.queries, block.keys, turned);
  for (int64_t j = 0; j < block.keys; j += kPanelRows) {
    const int64_t first = block.first_query(j) / 2;
    if (first >= pairs) break;
    const int64_t count = std::min(kPanelRows, block.keys - j), tiles = (count + most - 1) / most;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t row = count * t / tiles;
      float* const sums = y + (j + row) * vectors * kLanes;
      bf16_tiles::run(count * (t + 1) / tiles - row, vectors,
                      {.a = turned + (j * pairs + first * kPanelRows + row) * 2,
                       .a_row = 2,
                       .a_pair = 2 * kPanelRows,
                       .a_segment = 0,
                       .segments = 1,
                       .pairs = pairs - first,
                       .b = x + first * vectors * 2 * kLanes,
                       .b_segment = 0,
                       .start = sums,
                       .sums = sums,
                       .sums_row = vectors * kLanes});
    }
  }
}

// The rows of a block of scores in bf16.
void round_rows(const Block& block, const float* scores, BFloat16* to) {
  for (int64_t i = 0; i < block.queries; ++i) {
    narrow(scores + i * kKeys, to + i * kKeys, block.width());
  }
}

// --- forward

struct ForwardSpace {
  float *keys, *values, *scores, *shares, *sums;

  ForwardSpace(const AttentionLayout& l, Carver& c)
      : keys(c.take(round_up(l.k_len, kGroup) * l.dim / 2)),
        values(c.take(packed_rows_size(l.k_len, l.value_dim) / 2)),
        scores(c.take(kQueries * kKeys)),
        shares(c.take(kQueries * kKeys / 2)),
        sums(c.take(kQueries * vectors_of(l.value_dim) * kLanes)) {}
};

void forward_queries(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t h,
                     int64_t begin, int64_t end, const ForwardSpace& space) {
  const auto& f = functions();
  const int64_t kv = h / l.group(), keys = l.visible(end - 1);
  const int64_t width = vectors_of(l.value_dim) * kLanes;
  const float scale = static_cast<float>(l.scale);
  const HeadRows queries(l, args, l.q, l.q.input, b, h, l.dim);
  pack_columns(HeadRows(l, args, l.k, l.k.input, b, kv, l.dim), keys, l.dim, small(space.keys));
  pack_rows(HeadRows(l, args, l.v, l.v.input, b, kv, l.value_dim), 0, keys, l.value_dim,
            small(space.values));
  float most[kQueries], total[kQueries];
  for (int64_t query = begin; query < end; query += kQueries) {
    const int64_t count = std::min(kQueries, end - query);
    std::fill_n(space.sums, kQueries * width, 0.0f);
    std::fill_n(most, kQueries, -std::numeric_limits<float>::infinity());
    std::fill_n(total, kQueries, 0.0f);
    for (int64_t key = 0; key < l.k_len; key += kKeys) {
      if (is_hidden(l, query + count - 1, key)) break;
      Block block = block_at(l, query, count, key);
      block.keys = std::min(block.keys, keys - key);  // others are not packed
      products(block, queries, query, l.dim, small(space.keys) + key * l.dim, space.scores);
      for (int64_t i = 0; i < count; ++i) {
        const bool* const mask = l.mask_row(args, b, h, query + i);
        const float before = most[i];
        const float sum = f.forward_row(space.scores + i * kKeys, block.limit(i), block.width(),
                                        scale, mask == nullptr ? nullptr : mask + key, most[i]);
        if (key > 0 && before != most[i]) {
          const float factor = std::exp(before - most[i]);
          total[i] *= factor;
          scale_row(space.sums + i * width, factor, width);
        }
        total[i] += sum;
      }
      round_rows(block, space.scores, small(space.shares));
      add_weighted(block, small(space.shares), small(space.values) + key * width, l.value_dim,
                   space.sums);
    }
    for (int64_t i = 0; i < count; ++i) {
      store_row(space.sums + i * width, total[i] == 0 ? 0.0f : 1 / total[i], l.value_dim,
                args.out<BFloat16>(0) + l.at(l.y, b, query + i, h, l.value_dim));
      args.out<float>(1)[(b * l.heads + h) * l.q_len + query + i] = most[i] + std::log(total[i]);
    }
  }
}

// --- gradient

struct BackwardSpace {
  float *key_columns, *key_rows, *value_columns, *query_rows, *dy_rows;  // packed
  float *scores, *dscores, *shares, *dshares, *turned;
  float *row_a, *row_b, *dq, *dk, *dv;

  BackwardSpace(const AttentionLayout& l, Carver& c)
      : key_columns(c.take(round_up(l.k_len, kGroup) * l.dim / 2)),
        key_rows(c.take(packed_rows_size(round_up(l.k_len, 2), l.dim) / 2)),
        value_columns(c.take(round_up(l.k_len, kGroup) * l.value_dim / 2)),
        query_rows(c.take(packed_rows_size(kQueries, l.dim) / 2)),
        dy_rows(c.take(packed_rows_size(kQueries, l.value_dim) / 2)),
        scores(c.take(kQueries * kKeys)),
        dscores(c.take(kQueries * kKeys)),
        shares(c.take(kQueries * kKeys / 2)),
        dshares(c.take(kQueries * kKeys / 2)),
        turned(c.take(kQueries * kKeys / 2)),
        row_a(c.take(l.value_dim)),
        row_b(c.take(l.value_dim)),
        dq(c.take(kQueries * vectors_of(l.dim) * kLanes)),
        dk(c.take(l.k_len * vectors_of(l.dim) * kLanes)),
        dv(c.take(l.k_len * vectors_of(l.value_dim) * kLanes)) {}
};

float dot(const BFloat16* a, const BFloat16* b, int64_t count, const BackwardSpace& space) {
  widen(a, space.row_a, count);
  widen(b, space.row_b, count);
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t c = 0; c < kLanes; ++c) sums[c] += space.row_a[i + c] * space.row_b[i + c];
  }
  for (; i < count; ++i) sums[0] += space.row_a[i] * space.row_b[i];
  float sum = 0;
  for (float x : sums) sum += x;
  return sum;
}

void backward_block(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t h,
                    int64_t query, const BackwardSpace& space) {
  const auto& f = functions();
  const int64_t count = std::min(kQueries, l.q_len - query);
  const int64_t key_width = vectors_of(l.dim) * kLanes,
                value_width = vectors_of(l.value_dim) * kLanes;
  const float scale = static_cast<float>(l.scale);
  const HeadRows queries(l, args, l.q, l.q.input, b, h, l.dim),
      dys(l, args, l.y, 0, b, h, l.value_dim), ys(l, args, l.y, 1, b, h, l.value_dim);
  pack_rows(queries, query, query + count, l.dim, small(space.query_rows));
  pack_rows(dys, query, query + count, l.value_dim, small(space.dy_rows));
  float centre[kQueries];
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = (query + i) * dys.step;
    centre[i] = dot(dys.at + at, ys.at + at, l.value_dim, space);
  }
  const float* const log_sum_exp = args.in<float>(2) + (b * l.heads + h) * l.q_len + query;
  std::fill_n(space.dq, kQueries * key_width, 0.0f);
  for (int64_t key = 0; key < l.k_len; key += kKeys) {
    if (is_hidden(l, query + count - 1, key)) break;
    const Block block = block_at(l, query, count, key);
    products(block, queries, query, l.dim, small(space.key_columns) + key * l.dim, space.scores);
    products(block, dys, query, l.value_dim, small(space.value_columns) + key * l.value_dim,
             space.dscores);
    for (int64_t i = 0; i < count; ++i) {
      const bool* const mask = l.mask_row(args, b, h, query + i);
      f.backward_row(space.scores + i * kKeys, space.dscores + i * kKeys, block.limit(i),
                     block.width(), scale, mask == nullptr ? nullptr : mask + key, log_sum_exp[i],
                     centre[i]);
    }
    round_rows(block, space.scores, small(space.shares));
    round_rows(block, space.dscores, small(space.dshares));
    add_transposed(block, small(space.shares), small(space.dy_rows), l.value_dim,
                   small(space.turned), space.dv + key * value_width);
    add_transposed(block, small(space.dshares), small(space.query_rows), l.dim, small(space.turned),
                   space.dk + key * key_width);
    add_weighted(block, small(space.dshares), small(space.key_rows) + key * key_width, l.dim,
                 space.dq);
  }
  for (int64_t i = 0; i < count; ++i) {
    store_row(space.dq + i * key_width, scale, l.dim,
              args.out<BFloat16>(0) + l.at(l.q, b, query + i, h, l.dim));
  }
}

void backward_head(const AttentionLayout& l, const KernelArgs& args, int64_t b, int64_t kv,
                   const BackwardSpace& space) {
  const int64_t key_width = vectors_of(l.dim) * kLanes,
                value_width = vectors_of(l.value_dim) * kLanes;
  const HeadRows keys(l, args, l.k, l.k.input, b, kv, l.dim),
      values(l, args, l.v, l.v.input, b, kv, l.value_dim);
  pack_columns(keys, l.k_len, l.dim, small(space.key_columns));
  pack_rows(keys, 0, l.k_len, l.dim, small(space.key_rows));
  pack_columns(values, l.k_len, l.value_dim, small(space.value_columns));
  std::fill_n(space.dk, l.k_len * key_width, 0.0f);
  std::fill_n(space.dv, l.k_len * value_width, 0.0f);
  for (int64_t h = kv * l.group(); h < (kv + 1) * l.group(); ++h) {
    for (int64_t query = 0; query < l.q_len; query += kQueries) {
      backward_block(l, args, b, h, query, space);
    }
  }
  BFloat16* const dk = args.out<BFloat16>(l.packed ? 0 : 1);
  BFloat16* const dv = args.out<BFloat16>(l.packed ? 0 : 2);
  for (int64_t j = 0; j < l.k_len; ++j) {
    store_row(space.dk + j * key_width, static_cast<float>(l.scale), l.dim,
              dk + l.at(l.k, b, j, kv, l.dim));
    store_row(space.dv + j * value_width, 1.0f, l.value_dim, dv + l.at(l.v, b, j, kv, l.value_dim));
  }
}

}  // namespace

bool suits(const KernelSpec& spec, int first) {
  const AttentionLayout l(spec, first);
  constexpr int64_t kMost = bf16_tiles::kMaxVectors * kLanes;
  // Rows are read as pairs of neighbours where they lie.
  return has_avx512_bf16() && l.dim % 2 == 0 && l.value_dim % 2 == 0 && l.dim <= kMost &&
         l.value_dim <= kMost;
}

PreparedKernel forward(const KernelSpec& spec) {
  const AttentionLayout l(spec, 0);
  return over_queries<ForwardSpace>(
      l, [l](const KernelArgs& args, int64_t b, int64_t h, int64_t begin, int64_t end,
             const ForwardSpace& space) { forward_queries(l, args, b, h, begin, end, space); });
}

PreparedKernel backward(const KernelSpec& spec) {
  const AttentionLayout l(spec, 3);
  return over_units<BackwardSpace>(
      l, l.batch * l.kv_heads,
      [=](const KernelArgs& args, int64_t unit, const BackwardSpace& space) {
        backward_head(l, args, unit / l.kv_heads, unit % l.kv_heads, space);
      });
}
#endif

}  // namespace trireme::bf16_attention
