// Scaled dot-product attention: builders, and how the kernels of all devices read its operands.
#pragma once

#include <optional>

#include "core/ops/ops.h"

namespace trireme {

struct AttentionOptions {
  // A query sees the keys up to its own position only: key j of query i where j ≤ i.
  bool causal = false;
  std::optional<double> scale = {};  // of the products; nothing: 1/√(numbers of a key)
  // bool [batch or 1, heads or 1, q_len or 1, k_len]: which keys a query sees; undefined: all. A
  // query that sees none gets zeros.
  Value mask = {};
};

struct AttentionOutputs {
  Value y;            // [batch, q_len, heads, numbers of a value]
  Value log_sum_exp;  // [batch, heads, q_len]: of the scaled products; f32, or f64 as the inputs
};

namespace ops {

// q: [batch, q_len, heads, d]; k: [batch, k_len, kv_heads, d]; v: [batch, k_len, kv_heads, e];
// heads a multiple of kv_heads, each of which serves heads/kv_heads neighbouring heads.
AttentionOutputs attention(Value q, Value k, Value v, const AttentionOptions& options = {});

// The same of one tensor, as one product makes it: [batch, length, heads + 2·kv_heads, d], whose
// rows are the heads of q, then those of k, then those of v.
AttentionOutputs packed_attention(Value qkv, int64_t kv_heads,
                                  const AttentionOptions& options = {});

// The same of products and a softmax, which store the scores, for what the op cannot do: `dropout`
// is applied to the shares of the keys, `bias` of a shape that broadcasts to [batch,
// heads, q_len, k_len] is added to the scores. Lengths must be known.
struct ComposedAttentionOptions {
  AttentionOptions attention = {};
  Value bias = {};
  double dropout = 0;
  Value random_key = {};  // where dropout > 0, see ops.h
  int64_t seed = 0;
};
struct ComposedAttention {
  Value y;       // [batch, q_len, heads, e]
  Value shares;  // [batch, heads, q_len, k_len], before dropout
};
ComposedAttention composed_attention(Value q, Value k, Value v,
                                     const ComposedAttentionOptions& options = {});

}  // namespace ops
}  // namespace trireme
