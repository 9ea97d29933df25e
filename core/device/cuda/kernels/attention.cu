// Attention and its gradient in tiles of 32 by 32 scores, which live in registers: lane j of a warp
// has those of column j with the warp's four rows. Sums go in the order of the tiles, so that a run
// repeats to the last bit.
//
// Rows are queries and columns keys; where gradients of keys and values are made, rows are keys.
#include "core/device/cuda/kernels/attention_shape.h"
#include "core/device/cuda/kernels/portable.cuh"

namespace trireme::cuda {

constexpr int kTile = 32, kPerWarp = kAttentionPerWarp, kChunks = kMostAttentionDim / kTile;

// Rows of one head of an operand.
template <typename T>
struct HeadRows {
  const T* at;
  int64_t step;
};
template <typename T>
TRIREME_DEVICE HeadRows<T> head_rows(const T* operand, const AttentionRows& rows, int64_t b,
                                     int64_t head, int64_t numbers) {
  return {operand + rows.offset + b * rows.batch_step + head * numbers, rows.position_step};
}

// 32 rows from `first` on, 32 numbers of each from `column` on, as [row][number]; zeros beyond the
// ends. Every thread of the block calls.
template <typename T>
TRIREME_DEVICE void load_tile(HeadRows<T> rows, int64_t first, int64_t end, int64_t column,
                              int64_t numbers, float (*tile)[kTile + 1]) {
  __syncthreads();  // a use of the tile before this one may still go on
  const int64_t c = column + threadIdx.x % kTile;
  for (int r = static_cast<int>(threadIdx.x / kTile); r < kTile; r += kAttentionWarps) {
    const int64_t row = first + r;
    tile[r][threadIdx.x % kTile] =
        row < end && c < numbers ? to_compute(rows.at[row * rows.step + c]) : 0.0f;
  }
  __syncthreads();
}

// The products of this warp's rows with the column of each lane.
template <typename T>
TRIREME_DEVICE void products(HeadRows<T> rows, int64_t first_row, int64_t row_end,
                             HeadRows<T> columns, int64_t first_column, int64_t column_end,
                             int64_t numbers, float (*left)[kTile + 1], float (*right)[kTile + 1],
                             float (&sums)[kPerWarp]) {
  const int lane = static_cast<int>(threadIdx.x % 32),
            warp_row = static_cast<int>(threadIdx.x / 32) * kPerWarp;
  for (int i = 0; i < kPerWarp; ++i) sums[i] = 0;
  for (int64_t c = 0; c < numbers; c += kTile) {
    load_tile(rows, first_row, row_end, c, numbers, left);
    load_tile(columns, first_column, column_end, c, numbers, right);
    for (int e = 0; e < kTile; ++e) {
      const float x = right[lane][e];
      for (int i = 0; i < kPerWarp; ++i) sums[i] += left[warp_row + i][e] * x;
    }
  }
}

// y[i][e] += Σ over lanes j of weights[i] of lane j · columns[j][e]; number e lies in lane e % 32.
template <typename T>
TRIREME_DEVICE void add_weighted(const float (&weights)[kPerWarp], HeadRows<T> columns,
                                 int64_t first_column, int64_t column_end, int64_t numbers,
                                 float (*tile)[kTile + 1], float (&y)[kPerWarp][kChunks]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (chunk * kTile >= numbers) break;
    load_tile(columns, first_column, column_end, chunk * kTile, numbers, tile);
    for (int j = 0; j < kTile; ++j) {
      const float x = tile[j][lane];
      for (int i = 0; i < kPerWarp; ++i) {
        y[i][chunk] += __shfl_sync(0xffffffffu, weights[i], j) * x;
      }
    }
  }
}

template <typename T>
TRIREME_DEVICE void store_rows(const float (&y)[kPerWarp][kChunks],
                               const float (&factors)[kPerWarp], T* operand,
                               const AttentionRows& rows, int64_t b, int64_t head, int64_t first,
                               int64_t end, int64_t numbers) {
  T* const at = operand + rows.offset + b * rows.batch_step + head * numbers;
  for (int i = 0; i < kPerWarp; ++i) {
    const int64_t row = first + static_cast<int64_t>(threadIdx.x / 32) * kPerWarp + i;
    if (row >= end) continue;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int64_t e = chunk * kTile + threadIdx.x % 32;
      if (e < numbers) at[row * rows.position_step + e] = from_compute<T>(y[i][chunk] * factors[i]);
    }
  }
}

TRIREME_DEVICE float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
TRIREME_DEVICE float warp_max(float x) {
  for (int step = 16; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, x, step);
    x = x < other ? other : x;
  }
  return x;
}

TRIREME_DEVICE bool is_seen(const AttentionShape& s, const bool* mask, int64_t b, int64_t head,
                            int64_t query, int64_t key) {
  if (query >= s.q_len || key >= s.k_len || (s.causal != 0 && key > query)) return false;
  return mask == nullptr ||
         mask[b * s.mask_batch + head * s.mask_head + query * s.mask_query + key];
}

// The keys that queries before `end` may see.
TRIREME_DEVICE int64_t visible_keys(const AttentionShape& s, int64_t end) {
  return s.causal != 0 && end < s.k_len ? end : s.k_len;
}

// Block (x, y): the queries from x·32 on of head y of batch·heads.
template <typename T>
TRIREME_DEVICE void attention(const T* q, const T* k, const T* v, const bool* mask, T* y,
                              float* log_sum_exp, const AttentionShape& s) {
  __shared__ float left[kTile][kTile + 1], right[kTile][kTile + 1];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, head = blockIdx.y % s.heads,
                b = blockIdx.y / s.heads, kv = head / (s.heads / s.kv_heads);
  const int64_t end = first + kTile < s.q_len ? first + kTile : s.q_len;
  const int64_t warp_row = first + static_cast<int64_t>(threadIdx.x / 32) * kPerWarp;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const HeadRows<T> queries = head_rows(q, s.q, b, head, s.dim),
                    keys = head_rows(k, s.k, b, kv, s.dim),
                    values = head_rows(v, s.v, b, kv, s.value_dim);
  const float nothing = -INFINITY, scale = static_cast<float>(s.scale);
  float sums[kPerWarp][kChunks] = {}, most[kPerWarp], total[kPerWarp] = {};
  for (int i = 0; i < kPerWarp; ++i) most[i] = nothing;
  const int64_t key_end = visible_keys(s, end);
  for (int64_t key = 0; key < key_end; key += kTile) {
    float scores[kPerWarp];
    products(queries, first, end, keys, key, s.k_len, s.dim, left, right, scores);
    for (int i = 0; i < kPerWarp; ++i) {
      const float score =
          is_seen(s, mask, b, head, warp_row + i, key + lane) ? scores[i] * scale : nothing;
      const float before = most[i], highest = warp_max(score);
      most[i] = before < highest ? highest : before;
      const bool any = most[i] != nothing;
      scores[i] = any ? expf(score - most[i]) : 0.0f;
      const float factor = any ? expf(before - most[i]) : 1.0f;
      total[i] = total[i] * factor + warp_sum(scores[i]);
      for (int chunk = 0; chunk < kChunks; ++chunk) sums[i][chunk] *= factor;
    }
    add_weighted(scores, values, key, s.k_len, s.value_dim, right, sums);
  }
  float factors[kPerWarp];
  for (int i = 0; i < kPerWarp; ++i) {
    factors[i] = total[i] == 0 ? 0.0f : 1 / total[i];
    if (lane == 0 && warp_row + i < end) {
      log_sum_exp[(b * s.heads + head) * s.q_len + warp_row + i] = most[i] + logf(total[i]);
    }
  }
  store_rows(sums, factors, y, s.y, b, head, first, end, s.value_dim);
}

// centre [batch, heads, q_len] = Σ dy∘y; a warp for each.
template <typename T>
TRIREME_DEVICE void attention_centre(const T* dy, const T* y, float* centre,
                                     const AttentionShape& s) {
  const int64_t count = s.batch * s.heads * s.q_len;
  for (int64_t i = global_thread() / 32; i < count; i += global_threads() / 32) {
    const int64_t query = i % s.q_len, head = i / s.q_len % s.heads, b = i / s.q_len / s.heads;
    const int64_t at =
        s.y.offset + b * s.y.batch_step + query * s.y.position_step + head * s.value_dim;
    float sum = 0;
    for (int64_t e = threadIdx.x % 32; e < s.value_dim; e += 32) {
      sum += to_compute(dy[at + e]) * to_compute(y[at + e]);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) centre[i] = sum;
  }
}

// From a score, its product of dy and the value, and what is known of the query.
struct Derivatives {
  float p, ds;
};
TRIREME_DEVICE Derivatives derivatives(bool seen, float score, float of_value, float log_sum_exp,
                                       float centre) {
  if (!seen || log_sum_exp == -INFINITY) return {0.0f, 0.0f};
  const float p = expf(score - log_sum_exp);
  return {p, p * (of_value - centre)};
}

// As attention(), for the gradient of the queries.
template <typename T>
TRIREME_DEVICE void attention_grad_queries(const T* dy, const float* log_sum_exp,
                                           const float* centre, const T* q, const T* k, const T* v,
                                           const bool* mask, T* dq, const AttentionShape& s) {
  __shared__ float left[kTile][kTile + 1], right[kTile][kTile + 1];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, head = blockIdx.y % s.heads,
                b = blockIdx.y / s.heads, kv = head / (s.heads / s.kv_heads);
  const int64_t end = first + kTile < s.q_len ? first + kTile : s.q_len;
  const int64_t warp_row = first + static_cast<int64_t>(threadIdx.x / 32) * kPerWarp;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const HeadRows<T> queries = head_rows(q, s.q, b, head, s.dim),
                    dys = head_rows(dy, s.y, b, head, s.value_dim),
                    keys = head_rows(k, s.k, b, kv, s.dim),
                    values = head_rows(v, s.v, b, kv, s.value_dim);
  const float scale = static_cast<float>(s.scale);
  const int64_t row_0 = (b * s.heads + head) * s.q_len;
  float sums[kPerWarp][kChunks] = {};
  const int64_t key_end = visible_keys(s, end);
  for (int64_t key = 0; key < key_end; key += kTile) {
    float scores[kPerWarp], of_values[kPerWarp];
    products(queries, first, end, keys, key, s.k_len, s.dim, left, right, scores);
    products(dys, first, end, values, key, s.k_len, s.value_dim, left, right, of_values);
    for (int i = 0; i < kPerWarp; ++i) {
      const int64_t query = warp_row + i;
      const bool seen = is_seen(s, mask, b, head, query, key + lane);
      scores[i] =
          derivatives(seen, scores[i] * scale, of_values[i],
                      seen ? log_sum_exp[row_0 + query] : 0.0f, seen ? centre[row_0 + query] : 0.0f)
              .ds;
    }
    add_weighted(scores, keys, key, s.k_len, s.dim, right, sums);
  }
  const float factors[kPerWarp] = {scale, scale, scale, scale};
  store_rows(sums, factors, dq, s.q, b, head, first, end, s.dim);
}

// Block (x, y): the keys from x·32 on of head y of batch·kv_heads, over all heads that it serves.
template <typename T>
TRIREME_DEVICE void attention_grad_keys(const T* dy, const float* log_sum_exp, const float* centre,
                                        const T* q, const T* k, const T* v, const bool* mask, T* dk,
                                        T* dv, const AttentionShape& s) {
  __shared__ float left[kTile][kTile + 1], right[kTile][kTile + 1];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile, kv = blockIdx.y % s.kv_heads,
                b = blockIdx.y / s.kv_heads, group = s.heads / s.kv_heads;
  const int64_t end = first + kTile < s.k_len ? first + kTile : s.k_len;
  const int64_t warp_row = first + static_cast<int64_t>(threadIdx.x / 32) * kPerWarp;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const HeadRows<T> keys = head_rows(k, s.k, b, kv, s.dim),
                    values = head_rows(v, s.v, b, kv, s.value_dim);
  const float scale = static_cast<float>(s.scale);
  float key_sums[kPerWarp][kChunks] = {}, value_sums[kPerWarp][kChunks] = {};
  for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
    const HeadRows<T> queries = head_rows(q, s.q, b, head, s.dim),
                      dys = head_rows(dy, s.y, b, head, s.value_dim);
    const int64_t row_0 = (b * s.heads + head) * s.q_len;
    // Queries before the first key see none of these.
    for (int64_t query = s.causal != 0 ? first : 0; query < s.q_len; query += kTile) {
      float p[kPerWarp], ds[kPerWarp];
      products(keys, first, end, queries, query, s.q_len, s.dim, left, right, p);
      products(values, first, end, dys, query, s.q_len, s.value_dim, left, right, ds);
      for (int i = 0; i < kPerWarp; ++i) {
        const bool seen = is_seen(s, mask, b, head, query + lane, warp_row + i);
        const Derivatives d =
            derivatives(seen, p[i] * scale, ds[i], seen ? log_sum_exp[row_0 + query + lane] : 0.0f,
                        seen ? centre[row_0 + query + lane] : 0.0f);
        p[i] = d.p;
        ds[i] = d.ds;
      }
      add_weighted(p, dys, query, s.q_len, s.value_dim, right, value_sums);
      add_weighted(ds, queries, query, s.q_len, s.dim, right, key_sums);
    }
  }
  const float scales[kPerWarp] = {scale, scale, scale, scale}, ones[kPerWarp] = {1, 1, 1, 1};
  store_rows(key_sums, scales, dk, s.k, b, kv, first, end, s.dim);
  store_rows(value_sums, ones, dv, s.v, b, kv, first, end, s.value_dim);
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_ATTENTION_KERNELS(T, suffix)                                                       \
  TRIREME_KERNEL(attention_##suffix, (const T* q, const T* k, const T* v, const bool* mask, T* y,  \
                                      float* log_sum_exp, AttentionShape shape)) {                 \
    attention(q, k, v, mask, y, log_sum_exp, shape);                                               \
  }                                                                                                \
  TRIREME_KERNEL(attention_centre_##suffix,                                                        \
                 (const T* dy, const T* y, float* centre, AttentionShape shape)) {                 \
    attention_centre(dy, y, centre, shape);                                                        \
  }                                                                                                \
  TRIREME_KERNEL(attention_grad_queries_##suffix,                                                  \
                 (const T* dy, const float* log_sum_exp, const float* centre, const T* q,          \
                  const T* k, const T* v, const bool* mask, T* dq, AttentionShape shape)) {        \
    attention_grad_queries(dy, log_sum_exp, centre, q, k, v, mask, dq, shape);                     \
  }                                                                                                \
  TRIREME_KERNEL(attention_grad_keys_##suffix,                                                     \
                 (const T* dy, const float* log_sum_exp, const float* centre, const T* q,          \
                  const T* k, const T* v, const bool* mask, T* dk, T* dv, AttentionShape shape)) { \
    attention_grad_keys(dy, log_sum_exp, centre, q, k, v, mask, dk, dv, shape);                    \
  }

TRIREME_ATTENTION_KERNELS(Half, f16)
TRIREME_ATTENTION_KERNELS(BFloat16, bf16)
TRIREME_ATTENTION_KERNELS(float, f32)
